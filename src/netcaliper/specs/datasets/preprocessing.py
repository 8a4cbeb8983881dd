"""What is done to an image before a network sees it, as the network's own configuration says.

A configuration is what timm calls a data config (``input_size``, ``interpolation``, ``crop_pct``, ``crop_mode``,
``mean``, ``std``), or the ``preprocessor_config.json`` of transformers. Resizing and cropping are Pillow's: the result
is what ``timm.data.create_transform(is_training=False)`` and the Pillow image processors of transformers give.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from netcaliper.errors import DataError, InputError
from netcaliper.specs.extra import import_extra

Size = tuple[int, int]
"""Height and width."""

INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # in the order of Pillow's numbers
LARGEST = 2**14

# Types of transformers that resize, crop, rescale and standardize, and do nothing else to an image.
_PLAIN = ("Beit", "Bit", "Blip", "CLIP", "ChineseCLIP", "DeiT", "MobileNetV1", "Pvt", "Siglip", "ViT")
_SHORTER = ("Bit", "CLIP", "ChineseCLIP", "ConvNext", "MobileNetV1")  # a bare number is the shorter side
_WARPED = 384  # ConvNext crops below this size and squeezes from it on
_ADDED = ("do_pad", "do_flip_channel_order", "do_image_splitting", "do_align_long_axis", "do_thumbnail")


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop at the center, scale, standardize; a step that is ``None`` is left out.

    Attributes:
        resize: height and width that the rule ``fit`` speaks of.
        fit: ``"exact"`` squeezes to ``resize``; ``"cover"`` keeps the ratio of the sides, and both reach ``resize``;
            ``"inside"`` keeps the ratio, and neither exceeds it.
        crop: height and width that are cut out of the middle; what is missing is filled with ``fill``.
        fill: color around an image that is smaller than ``crop``.
        round_half_even: where the middle lies if it falls between two pixels: as torchvision rounds it, else down.
        interpolation: one of ``INTERPOLATIONS``.
        channels: 3 (RGB) or 1 (gray).
        scale: factor on the bytes.
        mean: of each channel, taken off after scaling.
        std: of each channel, divided by.
        words: all of this, short, for the reading.
    """

    resize: Size | None = None
    fit: Literal["exact", "cover", "inside"] = "cover"
    crop: Size | None = None
    fill: tuple[int, ...] = (0, 0, 0)
    round_half_even: bool = True
    interpolation: str = "bilinear"
    channels: int = 3
    scale: float = 1 / 255
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    words: str = "size as it is, values 0 to 1"

    @property
    def one_size(self) -> bool:
        """Whether every image comes out with the same height and width."""
        return self.crop is not None or (self.resize is not None and self.fit == "exact")

    def pixels(self, image: Any) -> UInt8[np.ndarray, "c h w"]:
        """Return a Pillow image resized and cropped, as bytes."""
        image = image.convert("L" if self.channels == 1 else "RGB")
        if self.resize is not None:
            height, width = _resized((image.height, image.width), self.resize, self.fit)
            if (image.height, image.width) != (height, width):
                image = image.resize((width, height), INTERPOLATIONS.index(self.interpolation))
        if self.crop is not None and (image.height, image.width) != self.crop:
            image = self._cropped(image, *self.crop)
        array = np.array(image)
        return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))

    def values(self, pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return bytes scaled and standardized: ``(scale x - mean) / std``."""
        x = pixels.float() / (1 / self.scale)  # as torchvision divides by 255, bit for bit
        if self.mean is None or self.std is None:
            return x
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return (x - mean) / std

    def _cropped(self, image: Any, height: int, width: int) -> Any:
        top, left = (
            _offset(have - want, half_even=self.round_half_even)
            for have, want in ((image.height, height), (image.width, width))
        )
        canvas = import_extra("PIL.Image", "images", "an image").new(
            image.mode, (width, height), self.fill if image.mode == "RGB" else self.fill[0]
        )
        canvas.paste(image, (-left, -top))
        return canvas


def preprocessing(
    config: Mapping[str, Any] | None = None,
    *,
    size: int | Size | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    shape: tuple[int, ...] | None = None,
) -> Preprocessing:
    """Return what is done to images.

    Args:
        config: with ``source``: ``"timm"`` has the keys of timm's data config, ``"hf"`` names a ``folder``, whose
            ``preprocessor_config.json`` is read. A folder without one says nothing.
        size: a number of pixels (square) or ``(height, width)``, in place of the configuration's.
        mean: of each channel, in place of the configuration's.
        std: of each channel, in place of the configuration's.
        shape: ``(channels, height, width)`` that the network takes, where no configuration says more.

    Without configuration, images are resized (bilinear) until both sides reach the size, cropped at the center and
    scaled to [0, 1]; without size they stay what they are.

    Raises:
        InputError: a size, a mean or a standard deviation cannot be used.
        DataError: the configuration asks for something else, or lacks a value.
    """
    wanted = _size(size)
    source = None if config is None else config["source"]
    if config is not None and source == "timm":
        return _from_timm(config, wanted, mean, std)
    facts = None if config is None or source != "hf" else _processor_config(Path(config["folder"]))
    if facts is not None:
        return _from_transformers(facts, wanted, mean, std)
    return _from_options(wanted, mean, std, shape)


def _from_timm(
    config: Mapping[str, Any], size: Size | None, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> Preprocessing:
    channels, height, width = (int(side) for side in config["input_size"])
    crop = size or (height, width)
    part = float(config.get("crop_pct") or 0.875)
    mode = config.get("crop_mode") or "center"
    fits: dict[str, Literal["exact", "cover", "inside"]] = {"center": "cover", "squash": "exact", "border": "inside"}
    if mode not in fits:
        raise DataError(f"the model's `crop_mode` is {mode!r}, known are {', '.join(fits)}; {_REMEDY}")
    mean, std = _statistics(mean or config.get("mean"), std or config.get("std"), channels)
    border = tuple(round(255 * value) for value in mean or (0.0, 0.0, 0.0))
    return _made(
        resize=(math.floor(crop[0] / part), math.floor(crop[1] / part)),
        fit=fits[mode],
        crop=crop,
        fill=border if mode == "border" else (0,) * channels,
        interpolation=_interpolation(config.get("interpolation") or "bilinear"),
        channels=channels,
        mean=mean,
        std=std,
        cropped=part,
    )


def _from_transformers(
    config: Mapping[str, Any], size: Size | None, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> Preprocessing:
    full = str(config.get("image_processor_type") or config.get("feature_extractor_type"))
    kind = full
    for ending in ("Pil", "Fast", "ImageProcessor", "FeatureExtractor"):
        kind = kind.removesuffix(ending)
    added = [name for name in _ADDED if config.get(name)]
    if kind not in (*_PLAIN, "ConvNext") or added:
        what = f"{full} with `{added[0]}`" if added else full
        raise DataError(f"the model's images are prepared by {what}, which netcaliper does not do; {_REMEDY}")
    resize, fit, crop = None, "exact", None
    if config.get("do_resize", True):
        resize, fit = _named_size(_needed(config, "size", full), kind)
    if config.get("do_center_crop", False):
        crop = _named_size(_needed(config, "crop_size", full), "")[0]
    part = None
    if kind == "ConvNext" and resize is not None:
        # Here `size` is what comes out; below 384 it is cut out of an image that is larger by 1 / crop_pct.
        crop, fit = resize, "exact"
        if resize[0] < _WARPED or (size is not None and size[0] < _WARPED):
            part, fit = float(config.get("crop_pct") or 0.875), "cover"
            crop = size or crop
            resize = (int(crop[0] / part), int(crop[1] / part))
    if size is not None and part is None:
        before = resize or size
        resize = size if crop is None else (round(before[0] * size[0] / crop[0]), round(before[1] * size[1] / crop[1]))
        crop = None if crop is None else size
    if config.get("do_normalize", False):
        mean = mean or _floats(_needed(config, "image_mean", full))
        std = std or _floats(_needed(config, "image_std", full))
    mean, std = _statistics(mean, std, 3)
    return _made(
        resize=resize,
        fit=fit,
        crop=crop,
        round_half_even=False,
        interpolation="bilinear" if resize is None else _interpolation(_needed(config, "resample", full)),
        scale=float(config.get("rescale_factor") or 1 / 255) if config.get("do_rescale", True) else 1.0,
        mean=mean,
        std=std,
        cropped=None if crop is None or resize is None else crop[0] / resize[0],
    )


def _from_options(
    size: Size | None, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, shape: tuple[int, ...] | None
) -> Preprocessing:
    channels = 3
    if shape is not None and len(shape) == 3 and shape[0] in (1, 3):
        channels, size = shape[0], size or (shape[1], shape[2])
    mean, std = _statistics(mean, std, channels)
    return _made(resize=size, fit="cover", crop=size, channels=channels, mean=mean, std=std, cropped=None)


def _made(*, cropped: float | None, **parts: Any) -> Preprocessing:
    """Return the preprocessing with its words."""
    plain = Preprocessing(**parts)
    words = []
    out = plain.crop or plain.resize
    if out is None:
        words.append("size as it is")
    else:
        ratio = {"exact": "squeezed", "cover": "", "inside": "with a border"}[plain.fit]
        words += [f"{out[0]} px" if out[0] == out[1] else f"{out[0]} x {out[1]} px", plain.interpolation]
        words += [ratio] if ratio else []
        if cropped is not None and cropped < 1:
            words.append(f"crop {cropped:.3g}".replace("0.", "."))
    if plain.channels == 1:
        words.append("gray")
    plain_scale = "values 0 to 1" if math.isclose(plain.scale, 1 / 255) else f"values times {plain.scale:.3g}"
    words.append("standardized" if plain.mean is not None else plain_scale)
    return Preprocessing(**parts, words=", ".join(words))


def _resized(have: Size, want: Size, fit: str) -> Size:
    """Return the height and width after resizing, rounded as torchvision and transformers do."""
    if fit == "exact":
        return want
    height, width = have
    if fit == "cover" and want[0] == want[1]:
        side = want[0]
        return (side, int(side * width / height)) if height <= width else (int(side * height / width), side)
    ratios = height / want[0], width / want[1]
    ratio = max(ratios) if fit == "inside" else min(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def _offset(excess: int, *, half_even: bool) -> int:
    """Return how many pixels lie before the middle part; negative where the image is smaller than it."""
    if not half_even:
        return excess // 2
    return round(excess / 2) if excess >= 0 else -(-excess // 2)


def _processor_config(folder: Path) -> Mapping[str, Any] | None:
    """Return the ``preprocessor_config.json`` of a folder; ``None`` where there is none, as of a language model."""
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return None
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{str(file)!r} cannot be read as JSON: {error}; write it anew or remove it.") from error
    if not isinstance(facts, dict):
        raise DataError(f"{str(file)!r} holds no JSON object; write it anew or remove it.")
    return facts


def _named_size(size: Any, kind: str) -> tuple[Size, Literal["exact", "cover"]]:
    """Read transformers' size: a number, ``shortest_edge``, or ``height`` and ``width``."""
    if isinstance(size, int):
        return (size, size), "cover" if kind in _SHORTER else "exact"
    if isinstance(size, (list, tuple)) and len(size) == 2:
        return (int(size[0]), int(size[1])), "exact"
    if isinstance(size, Mapping):
        given = {key: int(value) for key, value in size.items() if value is not None}
        if given.keys() == {"shortest_edge"}:
            return (given["shortest_edge"], given["shortest_edge"]), "cover"
        if given.keys() == {"height", "width"}:
            return (given["height"], given["width"]), "exact"
    raise DataError(f"the model's preprocessing has the size {size!r}, which netcaliper does not know; {_REMEDY}")


def _needed(config: Mapping[str, Any], name: str, kind: str) -> Any:
    value = config.get(name)
    if value is None:
        raise DataError(
            f"the model's preprocessor_config.json ({kind}) does not say `{name}`; write it there, or {_REMEDY}"
        )
    return value


def _interpolation(given: Any) -> str:
    if isinstance(given, int) and 0 <= given < len(INTERPOLATIONS):
        return INTERPOLATIONS[given]
    if given in INTERPOLATIONS:
        return str(given)
    raise DataError(f"the model's interpolation is {given!r}, known are {', '.join(INTERPOLATIONS)}; {_REMEDY}")


def _size(size: int | Size | None) -> Size | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(1 <= side <= LARGEST for side in sides):
        raise InputError(f"`size` must be pixels, or [height, width], from 1 to {LARGEST:,}, got {size!r}.")
    return sides[0], sides[1]


def _floats(values: Any) -> tuple[float, ...]:
    return (float(values),) * 3 if isinstance(values, (int, float)) else tuple(float(value) for value in values)


def _statistics(mean: Any, std: Any, channels: int) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Return mean and standard deviation of each channel, or neither."""
    if mean is None and std is None:
        return None, None
    if mean is None or std is None:
        raise InputError("`mean` and `std` standardize together; give both of them.")
    mean, std = _floats(mean), _floats(std)
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise InputError(
            f"`mean` and `std` must hold one number for each of {channels} channels, `std` above 0, got "
            f"{list(mean)} and {list(std)}."
        )
    return mean, std


_REMEDY = "prepare the images yourself and give them as `npz:FILE` or `package.module:factory`."
