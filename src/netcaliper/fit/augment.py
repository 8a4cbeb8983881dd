"""Augmentation of a batch of images as tensor operations: random crop and horizontal flip."""

from typing import Literal, get_args

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn.functional import pad

from netcaliper.errors import InputError

Augmentation = Literal["none", "crop", "flip", "crop_flip", "crop_flip_reflect"]

AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)

PADDING = 4


def augmented(images: Shaped[Tensor, "..."], how: Augmentation) -> Shaped[Tensor, "..."]:
    """Return a randomly changed copy of a batch of images ``[batch, channels, height, width]``.

    - ``"crop"``: 4 pixels of 0 are put on every side and a window of the old size is cut out at a random place, drawn
      for every image by itself. Images are padded as the network sees them, so 0 is the mean of standardized ones.
    - ``"flip"``: left and right are exchanged with probability 1/2.
    - ``"crop_flip"``: both. ``"crop_flip_reflect"``: both, the padding mirrors the image (as Nguyen, Raghu and
      Kornblith 2021).

    The draws come from torch's random state on the CPU, whatever the device.

    Raises:
        InputError: the inputs are no images, or too small to be mirrored.
    """
    if how == "none":
        return images
    if images.ndim != 4:
        raise InputError(
            f"`augment` = {how!r} needs images of shape [batch, channels, height, width], got {list(images.shape)}; "
            "use 'none'."
        )
    batch, channels, height, width = images.shape
    rows, columns = (torch.arange(n).expand(batch, n) for n in (height, width))  # [batch, height], [batch, width]
    if "crop" in how:
        mirror = how.endswith("reflect")
        if mirror and min(height, width) <= PADDING:
            raise InputError(
                f"`augment` = {how!r} mirrors {PADDING} pixels, the images have {height} x {width}; use 'crop_flip'."
            )
        images = pad(images, (PADDING,) * 4, mode="reflect" if mirror else "constant")
        rows = rows + torch.randint(0, 2 * PADDING + 1, (batch, 1))
        columns = columns + torch.randint(0, 2 * PADDING + 1, (batch, 1))
    if "flip" in how:
        columns = torch.where(torch.rand(batch, 1) < 0.5, columns.flip(1), columns)
    device = images.device
    example = torch.arange(batch, device=device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=device).view(1, -1, 1, 1)
    return images[example, channel, rows.to(device)[:, None, :, None], columns.to(device)[:, None, None, :]]
