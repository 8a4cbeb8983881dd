"""Crops are windows of the padded image, flips mirror it, light and color change pixels, each image by itself."""

import colorsys
from itertools import permutations

import pytest
import torch
from torch.nn.functional import pad

from netcaliper.errors import InputError
from netcaliper.fit.augment import AUGMENTATIONS, _saturated, _turned, augmented
from netcaliper.fit.seeds import seeded


def windows(image, mode, *, flip):
    """Return every window of the padded image, mirrored too if asked for."""
    padded = pad(image[None], (4,) * 4, mode=mode)[0]
    height, width = image.shape[-2:]
    found = [padded[:, i : i + height, j : j + width] for i in range(9) for j in range(9)]
    return found + ([window.flip(2) for window in found] if flip else [])


@pytest.mark.parametrize(
    "how", [how for how in AUGMENTATIONS if how not in ("none", "crop28_flip_light") and "color" not in how]
)
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


def gray_of(pixel):
    return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]


def by_pixels(image, order, amounts):
    """Jitter one image ``[3, height, width]`` pixel by pixel in Python's float64, hue by ``colorsys``."""
    pixels = [tuple(map(float, pixel)) for pixel in image.flatten(1).T.tolist()]
    for change in order:
        amount = float(amounts[change])
        mean = sum(map(gray_of, pixels)) / len(pixels)
        after = []
        for pixel in pixels:
            if change == 3:
                hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
                new = colorsys.hsv_to_rgb((hue + amount) % 1, saturation, value)
            else:
                center = (0.0, mean, gray_of(pixel))[change]
                new = tuple(center + amount * (x - center) for x in pixel)
            after.append(tuple(min(max(x, 0.0), 1.0) for x in new))
        pixels = after
    return torch.tensor(pixels, dtype=torch.float64).T.reshape(image.shape)


def test_color_equals_a_loop_over_pixels():
    """The numbers are drawn again in the order of the code; what they do is computed another way."""
    images = torch.rand(150, 3, 4, 5, generator=torch.Generator().manual_seed(4))
    images[::10] = images[::10].round()  # pure colors, at the borders between the sixths of the circle
    with seeded(3):
        result = augmented(images, "color")
    with seeded(3):
        order = torch.rand(150, 4).argsort(1)
        factors = 0.2 + 1.6 * torch.rand(3, 150)
        turns = 0.4 * torch.rand(1, 150) - 0.2
        jittered, grayed = torch.rand(2, 150) < torch.tensor([[0.8], [0.2]])
    amounts = torch.cat([factors, turns]).T
    assert len({tuple(row.tolist()) for row in order}) == len(list(permutations(range(4))))
    for n, image in enumerate(images):
        expected = by_pixels(image, order[n].tolist(), amounts[n]) if jittered[n] else image.double()
        if grayed[n]:
            expected = torch.stack([torch.as_tensor(gray_of(expected))] * 3)
        torch.testing.assert_close(result[n].double(), expected, rtol=0, atol=2e-5)


def test_how_often_colors_change():
    """A fifth is gray, and of the others a fifth is as it was; nothing leaves [0, 1]; torch's state is left alone."""
    images = torch.rand(4000, 3, 2, 2, generator=torch.Generator().manual_seed(5))
    before = images.clone()
    with seeded(6):
        result = augmented(images, "color")
    assert torch.equal(images, before)
    assert 0 <= result.min() <= result.max() <= 1
    gray = ((result.amax(1) - result.amin(1)) < 1e-6).flatten(1).all(1)
    same = (result == images).flatten(1).all(1)
    for share, probability in ((gray.float().mean(), 0.2), (same.float().mean(), 0.2 * 0.8)):
        assert abs(float(share) - probability) < 4 * (probability * (1 - probability) / 4000) ** 0.5


def test_gray_images_have_no_color_to_change():
    images = torch.rand(40, 1, 3, 3, generator=torch.Generator().manual_seed(7)).expand(-1, 3, -1, -1)
    amounts = torch.linspace(0.2, 1.8, 40).view(-1, 1, 1, 1)
    torch.testing.assert_close(_saturated(images, amounts), images)
    assert torch.equal(_turned(images, (amounts - 1) / 4), images)


def test_color_comes_after_the_crop():
    """With the same draws for the windows: what is not jittered is a plain crop, flipped."""
    images = torch.rand(60, 3, 6, 6, generator=torch.Generator().manual_seed(8))
    with seeded(9):
        plain = augmented(images, "crop_flip_reflect")
        expected = augmented(plain, "color")
    with seeded(9):
        result = augmented(images, "crop_flip_reflect_color")
    assert torch.equal(result, expected)
    assert not torch.equal(result, plain)


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
    with pytest.raises(InputError, match="3 channels red, green and blue, the images have 1; use 'crop_flip_reflect'"):
        augmented(torch.zeros(3, 1, 8, 8), "color")
    with pytest.raises(InputError, match="'crop_flip_reflect_color' changes pixels in .* from 0 to 2; give pixels"):
        augmented(torch.arange(192.0).view(1, 3, 8, 8) % 3, "crop_flip_reflect_color")
    with pytest.raises(
        InputError, match=r"pixels in \[0, 1\], these images hold torch.float32 from 0 to 255; give pixels"
    ):
        augmented(255 * torch.eye(32).view(1, 1, 32, 32), "crop28_flip_light")
    with pytest.raises(InputError, match="these images hold torch.uint8 from 0 to 1"):
        augmented(torch.ones(1, 1, 32, 32, dtype=torch.uint8).tril(), "crop28_flip_light")
