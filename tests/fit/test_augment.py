"""Crops are windows of the padded image, flips mirror it, each image by itself."""

import pytest
import torch
from torch.nn.functional import pad

from netcaliper.errors import InputError
from netcaliper.fit.augment import AUGMENTATIONS, augmented
from netcaliper.fit.seeds import seeded


def windows(image, mode, *, flip):
    """Return every window of the padded image, mirrored too if asked for."""
    padded = pad(image[None], (4,) * 4, mode=mode)[0]
    height, width = image.shape[-2:]
    found = [padded[:, i : i + height, j : j + width] for i in range(9) for j in range(9)]
    return found + ([window.flip(2) for window in found] if flip else [])


@pytest.mark.parametrize("how", AUGMENTATIONS[1:])
def test_every_result_is_one_of_the_possible_ones(how):
    images = torch.randn(40, 2, 6, 5)
    with seeded(0):
        result = augmented(images, how)
    assert result.shape == images.shape
    choices = set()
    for image, changed in zip(images, result, strict=True):
        if how == "flip":
            possible = [image, image.flip(2)]
        else:
            possible = windows(image, "reflect" if "reflect" in how else "constant", flip="flip" in how)
        places = [n for n, window in enumerate(possible) if torch.equal(window, changed)]
        assert places
        choices.add(places[0])
    assert len(choices) > (1 if how == "flip" else 15)


def test_all_places_and_sides_are_drawn_alike():
    ramp = torch.arange(1.0, 10.0).expand(5000, 1, 9, 9)
    with seeded(1):
        result = augmented(ramp, "crop_flip")
    centers = result[:, 0, 4, 4]
    shares = torch.stack([(centers == value).float().mean() for value in range(1, 10)])
    assert (shares - 1 / 9).abs().max() < 0.02
    assert abs((result[:, 0, 0, 0] == 0).float().mean() - (1 - (5 / 9) ** 2)) < 0.03
    mirrored = (result[:, 0, 4, 3] > result[:, 0, 4, 5])[result[:, 0, 4, 3:6].min(1).values > 0]
    assert abs(mirrored.float().mean() - 0.5) < 0.03


def test_none_is_the_same_tensor_and_draws_nothing():
    images = torch.randn(3, 1, 4, 4)
    state = torch.get_rng_state()
    assert augmented(images, "none") is images
    assert torch.equal(state, torch.get_rng_state())


def test_what_is_no_image():
    with pytest.raises(InputError, match=r"needs images of shape .*got \[3, 4\]; use 'none'"):
        augmented(torch.zeros(3, 4), "flip")
    with pytest.raises(InputError, match="mirrors 4 pixels, the images have 4 x 9; use 'crop_flip'"):
        augmented(torch.zeros(3, 1, 4, 9), "crop_flip_reflect")
