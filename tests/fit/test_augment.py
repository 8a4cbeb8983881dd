"""Crops are windows of the padded image, flips mirror it, light changes it affinely, each image by itself."""

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


@pytest.mark.parametrize("how", [how for how in AUGMENTATIONS if how not in ("none", "crop28_flip_light")])
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


def relit(window, changed):
    """Return brightness and contrast that turn a window into what came of it, ``None`` if none do (float64)."""
    x, y = window.double(), changed.double()
    mean = x.mean((1, 2), keepdim=True)
    flat = x - mean
    contrast = (flat * (y - y.mean((1, 2), keepdim=True))).sum() / flat.square().sum()
    brightness = (y.mean((1, 2)) - mean.flatten()).mean()
    exact = torch.allclose(mean + brightness + contrast * flat, y, rtol=0, atol=1e-5)
    return (float(brightness), float(contrast)) if exact else None


def test_the_augmentation_of_frivolous_units():
    """Every result is one of the 3 x 4 x 2 windows, with one brightness and one contrast for all its channels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(300, 3, 30, 31, generator=generator)
    with seeded(2):
        result = augmented(images, "crop28_flip_light")
    assert result.shape == (300, 3, 28, 28)
    places, lights = [], []
    for image, changed in zip(images, result, strict=True):
        found = [image[:, i : i + 28, j : j + 28] for i in range(3) for j in range(4)]
        found += [window.flip(2) for window in found]
        light = [(n, relit(window, changed)) for n, window in enumerate(found)]
        (place, drawn), *others = [(n, values) for n, values in light if values is not None]
        assert not others
        places.append(place)
        lights.append(drawn)
    assert set(places) == set(range(24))
    for values, low, high in zip(torch.tensor(lights).T, (-63 / 255, 0.2), (63 / 255, 1.8), strict=True):
        unit = (values - low) / (high - low)  # uniform on [0, 1]
        assert unit.min() > -1e-4
        assert unit.max() < 1 + 1e-4
        steps = (torch.arange(300) + 0.5) / 300
        assert (unit.sort().values - steps).abs().max() < 1.63 / 300**0.5  # Kolmogorov and Smirnov, 1 %
    assert abs(torch.corrcoef(torch.tensor(lights).T)[0, 1]) < 0.2


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
    with pytest.raises(InputError, match="cuts windows of 28 x 28 pixels, the images have 27 x 40; use 'crop_flip'"):
        augmented(torch.zeros(3, 1, 27, 40), "crop28_flip_light")
    with pytest.raises(
        InputError, match=r"pixels in \[0, 1\], these images hold torch.float32 from 0 to 255; give pixels"
    ):
        augmented(255 * torch.eye(32).view(1, 1, 32, 32), "crop28_flip_light")
    with pytest.raises(InputError, match="these images hold torch.uint8 from 0 to 1"):
        augmented(torch.ones(1, 1, 32, 32, dtype=torch.uint8).tril(), "crop28_flip_light")
