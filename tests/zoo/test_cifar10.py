"""CIFAR-10 from parquet: a tiny file made here, and the real one where it lies beside the checkout."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from netcaliper.errors import DataError, InputError, SpecError
from netcaliper.zoo.cifar10 import MEAN, SD, Cifar10Options, cifar10, prepared, standardized

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
Image = pytest.importorskip("PIL.Image")

REAL = Path(__file__).parents[3] / "shared" / "data" / "cifar10"


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def write(file, pixels, labels, **columns):
    images = [{"bytes": png(image), "path": f"{n}.png"} for n, image in enumerate(pixels)]
    parquet.write_table(pa.table({"img": images, "label": labels} | columns), file)


def pixels(examples, seed):
    return np.random.default_rng(seed).integers(0, 256, (examples, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train.parquet", pixels(20, 0), [n % 4 for n in range(20)])
    write(tmp_path / "test.parquet", pixels(8, 1), [n % 4 for n in range(8)])
    return tmp_path


def test_images_come_back_as_they_were(folder):
    data = cifar10(folder, "train", batch_size=7, options=Cifar10Options(standardize="none"))
    expected = torch.from_numpy(pixels(20, 0)).permute(0, 3, 1, 2).float() / 255
    assert torch.equal(torch.cat([x for x, _ in data]), expected)
    assert torch.cat([y for _, y in data]).tolist() == [n % 4 for n in range(20)]
    assert data.x.dtype is torch.uint8
    assert [len(x) for x, _ in data] == [7, 7, 6]


def test_all_is_train_then_test(folder):
    parts = [cifar10(folder, split) for split in ("train", "test", "all")]
    assert torch.equal(torch.cat([parts[0].x, parts[1].x]), parts[2].x)
    assert [len(part.x) for part in parts] == [20, 8, 28]


def test_subsets_decode_only_what_they_hold(folder, monkeypatch):
    from netcaliper.zoo import cifar10 as module

    whole, decoded = cifar10(folder, "train"), []
    original = module._decoded
    monkeypatch.setattr(module, "_decoded", lambda *a: decoded.append(a[1]) or original(*a))
    part = module.cifar10(folder, "train", options=Cifar10Options(examples=8, seed=3))
    assert len(decoded) == 8
    assert part.y is not None
    assert part.y.bincount().tolist() == [2, 2, 2, 2]
    assert torch.equal(part.x, whole.x[decoded])


def test_several_files_make_one_part(tmp_path):
    for n in range(2):
        write(tmp_path / f"train-0000{n}-of-00002.parquet", pixels(3, n), [n] * 3)
    data = cifar10(tmp_path, "train")
    assert data.y is not None
    assert data.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(data.x[3:].permute(0, 2, 3, 1), torch.from_numpy(pixels(3, 1)))


def test_standardization():
    x = torch.from_numpy(pixels(4, 0)).permute(0, 3, 1, 2).contiguous() / 255
    by_image = standardized(x, "image")
    for own, raw in zip(by_image.double(), x.double(), strict=True):
        torch.testing.assert_close(own, (raw - raw.mean()) / raw.std(correction=0), atol=1e-5, rtol=1e-5)
    assert not standardized(torch.full((1, 3, 4, 4), 9 / 255), "image").any()
    by_channel = standardized(x, "channel")
    torch.testing.assert_close(by_channel[:, 1], (x[:, 1] - MEAN[1]) / SD[1])
    assert standardized(x, "none") is x


def resized(image, size):
    """Bilinear interpolation between the centers of pixels, one pixel at a time (float64)."""
    old = image.shape[-1]
    result = np.empty((len(image), size, size))
    for i in range(size):
        for j in range(size):
            y, x = (np.clip((n + 0.5) * old / size - 0.5, 0, old - 1) for n in (i, j))
            top, left = int(y), int(x)
            bottom, right = min(top + 1, old - 1), min(left + 1, old - 1)
            upper = image[:, top, left] * (1 - x + left) + image[:, top, right] * (x - left)
            lower = image[:, bottom, left] * (1 - x + left) + image[:, bottom, right] * (x - left)
            result[:, i, j] = upper * (1 - y + top) + lower * (y - top)
    return result


def test_the_middle_is_standardized_and_then_resized(folder):
    """The path of Casper et al. without augmentation: 28 x 28 pixels in the middle, standardized, back to 32 x 32."""
    raw = pixels(20, 0).transpose(0, 3, 1, 2).astype(float)
    data = cifar10(folder, "train", batch_size=20, options=Cifar10Options(standardize="image", crop=28))
    images, _ = next(iter(data))
    assert images.shape == (20, 3, 32, 32)
    for image, own in zip(raw[:3], images[:3], strict=True):
        middle = image[:, 2:30, 2:30]
        expected = resized((middle - middle.mean()) / middle.std(), 32)
        np.testing.assert_allclose(own.numpy(), expected, rtol=0, atol=1e-5)
    whole = cifar10(folder, "train", batch_size=20, options=Cifar10Options(standardize="image", crop=32))
    plain = cifar10(folder, "train", batch_size=20, options=Cifar10Options(standardize="image"))
    torch.testing.assert_close(next(iter(whole))[0], next(iter(plain))[0])


def test_a_window_of_the_right_size_is_used_as_it_is():
    window = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    framed = torch.nn.functional.pad(window, (2, 2, 2, 2))
    assert torch.equal(prepared(window, "none", 28), prepared(framed, "none", 28))
    assert prepared(window, "none") is window


def test_a_training_augments_before_the_data_are_standardized(folder):
    """With the options of the paper every image that a network sees has mean 0 and standard deviation near 1."""
    from netcaliper.fit.train import fit
    from netcaliper.zoo.models import build

    data = cifar10(folder, "train", batch_size=10, options=Cifar10Options(standardize="image", crop=28))
    model = build("cnn", {"channels": 3, "size": 32, "widths": [2]})
    shown = []
    model.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].clone()))
    fit(model, data, epochs=1, augment="crop28_flip_light")
    images = torch.cat(shown)
    assert images.shape == (20, 3, 32, 32)
    assert images.mean((1, 2, 3)).abs().max() < 0.05
    plain = next(iter(data))[0]
    assert not any(torch.equal(image, other) for image in images for other in plain)


@pytest.mark.parametrize("size", [8, 16])
def test_fewer_pixels_are_means_of_pixels(folder, size):
    images, _ = next(iter(cifar10(folder, "train", batch_size=20, options=Cifar10Options(standardize="none"))))
    fewer, _ = next(
        iter(cifar10(folder, "train", batch_size=20, options=Cifar10Options(standardize="none", pixels=size)))
    )
    by = 32 // size
    assert fewer.shape == (20, 3, size, size)
    expected = images.numpy().reshape(20, 3, size, by, size, by).mean((3, 5))
    np.testing.assert_allclose(fewer.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("crop", [0, 33])
def test_a_crop_that_is_none(crop):
    with pytest.raises(InputError, match=f"`crop` = {crop}"):
        Cifar10Options(crop=crop)


def broken(tmp_path, kind):
    file = tmp_path / "train.parquet"
    match kind:
        case "text":
            file.write_text("not parquet")
        case "column":
            parquet.write_table(pa.table({"image": [1]}), file)
        case "empty":
            write(file, [], pa.array([], type=pa.int64()), img=pa.array([], type=pa.binary()))
        case "label":
            write(file, pixels(2, 0), [0.5, 1.0])
        case "negative":
            write(file, pixels(2, 0), [0, -1])
        case "image":
            parquet.write_table(pa.table({"img": [{"bytes": b"no image", "path": ""}], "label": [0]}), file)
        case "size":
            write(file, pixels(1, 0)[:, :16], [0])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("none", "has no train.parquet"),
        ("text", "'train.parquet' cannot be read as a parquet file"),
        ("column", "with the columns `img` and `label`|has no column `img`"),
        ("empty", "holds no example"),
        ("label", "must be integers from 0 on, got float64"),
        ("negative", "from -1"),
        ("image", "image 0 of .* cannot be decoded"),
        ("size", "has 16 x 32 pixels, not 32 x 32"),
    ],
)
def test_files_that_hold_something_else(tmp_path, kind, message):
    broken(tmp_path, kind)
    with pytest.raises((SpecError, DataError), match=message):
        cifar10(tmp_path, "train")


@pytest.mark.parametrize(("module", "package"), [("pyarrow", "pyarrow"), ("PIL.Image", "Pillow")])
def test_a_missing_library_names_the_extra(folder, monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=rf"`cifar10` needs {package}: pip install 'netcaliper\[parquet\]'"):
        cifar10(folder, "test")


@pytest.mark.skipif(not (REAL / "test.parquet").is_file(), reason=f"CIFAR-10 does not lie in {REAL.name}/ beside here")
def test_the_real_images():
    data = cifar10(REAL, "test", options=Cifar10Options(examples=500))
    assert data.x.shape == (500, 3, 32, 32)
    assert data.y is not None
    assert (data.y.bincount(minlength=10) - 50).abs().max() <= 1
    x = torch.cat([x for x, _ in data])
    assert x.mean().abs() < 0.1
    assert abs(x.std() - 1) < 0.1
