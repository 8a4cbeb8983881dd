"""Augmentation of a batch of images as tensor operations: random crop, horizontal flip, brightness and contrast."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import pad

from netcaliper.errors import InputError

Augmentation = Literal["none", "crop", "flip", "crop_flip", "crop_flip_reflect", "crop28_flip_light"]

AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)

PADDING = 4
WINDOW = 28
BRIGHTNESS = 63 / 255
CONTRAST = (0.2, 1.8)


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

    Images come as they were taken; they are standardized afterwards (see ``netcaliper.fit.train.Staged``). The draws
    come from torch's random state on the CPU, whatever the device.

    Raises:
        InputError: the inputs are no images, too small to be mirrored or cut, or not in [0, 1].
    """
    if how == "none":
        return images
    if images.ndim != 4:
        raise InputError(
            f"`augment` = {how!r} needs images of shape [batch, channels, height, width], got {list(images.shape)}; "
            "use 'none'."
        )
    light = how.endswith("light")
    batch, channels, height, width = images.shape
    if light:
        _check_light(images, how)
        height = width = WINDOW
    rows, columns = (torch.arange(n).expand(batch, n) for n in (height, width))  # [batch, height], [batch, width]
    if "crop" in how:
        mirror = how.endswith("reflect")
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
    return _relit(images) if light else images


def _relit(images: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels h w"]:
    """Change the brightness, then the contrast, of every image by itself."""
    brightness, contrast = torch.rand(2, len(images), 1, 1, 1).to(images.device)
    images = images + BRIGHTNESS * (2 * brightness - 1)
    mean = images.mean((2, 3), keepdim=True)
    low, high = CONTRAST
    return mean + (low + (high - low) * contrast) * (images - mean)


def _check_light(images: Shaped[Tensor, "batch channels h w"], how: Augmentation) -> None:
    height, width = images.shape[2:]
    if min(height, width) < WINDOW:
        raise InputError(
            f"`augment` = {how!r} cuts windows of {WINDOW} x {WINDOW} pixels, the images have {height} x {width}; use "
            "'crop_flip'."
        )
    low, high = float(images.min()), float(images.max())
    if not images.is_floating_point() or low < 0 or high > 1:
        raise InputError(
            f"`augment` = {how!r} changes the light of pixels in [0, 1], these images hold {images.dtype} from {low:g} "
            f"to {high:g}; give pixels in [0, 1] and standardize afterwards, or use 'crop_flip'."
        )
