"""Augmentation of a batch of images as tensor operations: random crop, horizontal flip, light and color."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import pad

from netcaliper.errors import InputError

Augmentation = Literal[
    "none", "crop", "flip", "crop_flip", "crop_flip_reflect", "crop28_flip_light", "color", "crop_flip_reflect_color"
]

AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)

PADDING = 4
WINDOW = 28
BRIGHTNESS = 63 / 255
CONTRAST = (0.2, 1.8)

JITTERED = 0.8
GRAYED = 0.2
HUE = 0.2
GRAY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the gray value (ITU-R BT.601)."""


def augmented(images: Shaped[Tensor, "..."], how: Augmentation) -> Shaped[Tensor, "..."]:
    """Return a randomly changed copy of a batch of images ``[batch, channels, height, width]``.

    - ``"crop"``: 4 pixels of 0 are put on every side and a window of the old size is cut out at a random place, drawn
      for every image by itself.
    - ``"flip"``: left and right are exchanged with probability 1/2.
    - ``"crop_flip"``: both. ``"crop_flip_reflect"``: both, the padding mirrors the image (as Nguyen, Raghu and
      Kornblith 2021).
    - ``"crop28_flip_light"`` (Casper et al. 2021): a window of 28 x 28 pixels is cut out at a random place, without
      padding, and flipped with probability 1/2; then ``x <- x + b`` and ``x <- m + c (x - m)`` with ``b`` uniform on
      +-63/255, ``c`` on [0.2, 1.8] and ``m`` the mean of each channel. Pixels must lie in [0, 1]; the results may lie
      outside, as in the paper's code. (Standardizing each image afterwards undoes the brightness.)

    - ``"color"``: the color distortion of SimCLR (Chen et al. 2020, appendix A) at strength 1. With probability 0.8
      four changes, in random order, each cut to [0, 1] afterwards: brightness ``x <- b x``; contrast
      ``x <- m + c (x - m)`` with ``m`` the image's mean gray value; saturation ``x <- g + s (x - g)`` with ``g`` the
      gray value of each pixel; and a turn of the hue by ``h``. ``b``, ``c``, ``s`` are uniform on [0.2, 1.8], ``h`` on
      +-0.2 of the full circle. Then, with probability 0.2, every channel is set to
      ``g = .299 red + .587 green + .114 blue``. Images must have these 3 channels, with pixels in [0, 1].
    - ``"crop_flip_reflect_color"``: ``"crop_flip_reflect"``, then ``"color"``.

    Images come as they were taken; they are standardized afterwards (see ``netcaliper.fit.train.Staged``). The draws
    come from torch's random state on the CPU, whatever the device.

    Raises:
        InputError: the inputs are no images, too small to be mirrored or cut, not of 3 channels, or not in [0, 1].
    """
    if how == "none":
        return images
    if images.ndim != 4:
        raise InputError(
            f"`augment` = {how!r} needs images of shape [batch, channels, height, width], got {list(images.shape)}; "
            "use 'none'."
        )
    light, color = how.endswith("light"), how.endswith("color")
    batch, channels, height, width = images.shape
    if light or color:
        _check_pixels(images, how)
    if light:
        _check_window(images, how)
        height = width = WINDOW
    if color and channels != 3:
        raise InputError(
            f"`augment` = {how!r} needs the 3 channels red, green and blue, the images have {channels}; use "
            "'crop_flip_reflect'."
        )
    if how == "color":
        return _recolored(images)
    rows, columns = (torch.arange(n).expand(batch, n) for n in (height, width))  # [batch, height], [batch, width]
    if "crop" in how:
        mirror = "reflect" in how
        if mirror and min(height, width) <= PADDING:
            raise InputError(
                f"`augment` = {how!r} mirrors {PADDING} pixels, the images have {height} x {width}; use 'crop_flip'."
            )
        if not light:
            images = pad(images, (PADDING,) * 4, mode="reflect" if mirror else "constant")
        rows = rows + torch.randint(0, images.shape[2] - height + 1, (batch, 1))
        columns = columns + torch.randint(0, images.shape[3] - width + 1, (batch, 1))
    if "flip" in how:
        columns = torch.where(torch.rand(batch, 1) < 0.5, columns.flip(1), columns)
    device = images.device
    example = torch.arange(batch, device=device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=device).view(1, -1, 1, 1)
    images = images[example, channel, rows.to(device)[:, None, :, None], columns.to(device)[:, None, None, :]]
    return _relit(images) if light else _recolored(images) if color else images


def _relit(images: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels h w"]:
    """Change the brightness, then the contrast, of every image by itself."""
    brightness, contrast = torch.rand(2, len(images), 1, 1, 1).to(images.device)
    images = images + BRIGHTNESS * (2 * brightness - 1)
    mean = images.mean((2, 3), keepdim=True)
    low, high = CONTRAST
    return mean + (low + (high - low) * contrast) * (images - mean)


def _recolored(images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 3 h w"]:
    """Change the color of every image by itself: jitter, then gray."""
    batch = len(images)
    order = torch.rand(batch, 4).argsort(1)  # [batch, place]
    low, high = CONTRAST
    factors = low + (high - low) * torch.rand(3, batch, 1, 1, 1)
    turns = HUE * (2 * torch.rand(1, batch, 1, 1, 1) - 1)
    amounts = torch.cat([factors, turns]).to(images)
    jittered, grayed = torch.rand(2, batch) < torch.tensor([[JITTERED], [GRAYED]])
    images = images.clone()
    for place in range(4):
        for change, changed in enumerate((_brightened, _contrasted, _saturated, _turned)):
            rows = (jittered & (order[:, place] == change)).nonzero()[:, 0].to(images.device)
            images[rows] = changed(images[rows], amounts[change, rows]).clamp(0, 1)
    rows = grayed.nonzero()[:, 0].to(images.device)
    images[rows] = _gray(images[rows]).expand(-1, 3, -1, -1)
    return images


def _gray(images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 1 h w"]:
    red, green, blue = images.split(1, 1)
    return GRAY[0] * red + GRAY[1] * green + GRAY[2] * blue


def _brightened(images: Float[Tensor, "n 3 h w"], factor: Float[Tensor, "n 1 1 1"]) -> Float[Tensor, "n 3 h w"]:
    return factor * images


def _contrasted(images: Float[Tensor, "n 3 h w"], factor: Float[Tensor, "n 1 1 1"]) -> Float[Tensor, "n 3 h w"]:
    mean = _gray(images).mean((2, 3), keepdim=True)
    return mean + factor * (images - mean)


def _saturated(images: Float[Tensor, "n 3 h w"], factor: Float[Tensor, "n 1 1 1"]) -> Float[Tensor, "n 3 h w"]:
    gray = _gray(images)
    return gray + factor * (images - gray)


def _turned(images: Float[Tensor, "n 3 h w"], turn: Float[Tensor, "n 1 1 1"]) -> Float[Tensor, "n 3 h w"]:
    """Turn the hue; value and saturation (of HSV) stay."""
    value, low = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    spread = value - low
    divisor = torch.where(spread > 0, spread, 1)
    red, green, blue = images.split(1, 1)
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )  # in sixths of the circle, red at 0
    offset = torch.tensor([5.0, 3.0, 1.0]).to(images).view(1, 3, 1, 1)
    sixth = (offset + hue + 6 * turn) % 6
    return value - spread * torch.minimum(sixth, 4 - sixth).clamp(0, 1)


def _check_window(images: Shaped[Tensor, "batch channels h w"], how: Augmentation) -> None:
    height, width = images.shape[2:]
    if min(height, width) < WINDOW:
        raise InputError(
            f"`augment` = {how!r} cuts windows of {WINDOW} x {WINDOW} pixels, the images have {height} x {width}; use "
            "'crop_flip'."
        )


def _check_pixels(images: Shaped[Tensor, "batch channels h w"], how: Augmentation) -> None:
    low, high = float(images.min()), float(images.max())
    if not images.is_floating_point() or low < 0 or high > 1:
        raise InputError(
            f"`augment` = {how!r} changes pixels in [0, 1], these images hold {images.dtype} from {low:g} "
            f"to {high:g}; give pixels in [0, 1] and standardize afterwards, or use 'crop_flip'."
        )
