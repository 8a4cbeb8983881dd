"""Folders of images: which files, in which order, with which labels, and what is no such folder."""

import os
import sys
from typing import cast

import numpy as np
import pytest
import torch

from netcaliper.errors import DataError, InputError, SpecError
from netcaliper.specs.data import load_data
from netcaliper.specs.loaded import LoadedModel
from netcaliper.zoo.data import Split

Image = pytest.importorskip("PIL.Image")


def write(file, size=(8, 8), seed=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng((seed, len(str(file.name)))).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return pixels


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(("crow", "jay", "owl")):
        for n in range(8):
            write(tmp_path / "birds" / name / f"{n:02}.png", seed=10 * label + n)
    return tmp_path / "birds"


def read(data):
    batches = list(data)
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def test_images_and_classes_in_alphabetical_order(folder):
    data = load_data(f"imagefolder:{folder}", batch_size=7)
    assert (len(data), len(data.dataset)) == (4, 24)  # pyright: ignore
    x, y = read(data)
    assert y.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    expected = [Image.open(folder / name / f"{n:02}.png") for name in ("crow", "jay", "owl") for n in range(8)]
    assert torch.equal(x, torch.from_numpy(np.stack(expected)).permute(0, 3, 1, 2).float() / 255)
    again, _ = read(data)
    assert torch.equal(again, x)
    larger, _ = read(load_data(f"imagefolder:{folder}", batch_size=24))
    assert torch.equal(larger, x)


def test_nested_files_links_and_everything_that_is_no_image(folder):
    write(folder / "jay" / "more" / "deep" / "a.JPG")
    write(folder / "jay" / ".hidden.png")
    write(folder / ".cache" / "b.png")
    write(folder / "jay" / ".thumbnails" / "c.png")
    (folder / "jay" / "notes.txt").write_text("seen on a walk")
    os.symlink(folder / "jay", folder / "jay" / "more" / "loop")
    os.symlink(folder / "owl", folder / "strix")
    _, y = read(load_data(f"imagefolder:{folder}(size=8)"))
    assert y.bincount().tolist() == [8, 9, 8, 8]


def test_a_stratified_subset_and_the_two_parts(folder):
    x, y = read(load_data(f"imagefolder:{folder}(examples=6)"))
    assert y.tolist() == [0, 0, 1, 1, 2, 2]
    parts = [read(load_data(f"imagefolder:{folder}", split=split)) for split in ("train", "test")]
    assert [len(labels) for _, labels in parts] == [18, 6]
    images = torch.cat([images for images, _ in parts]).flatten(1).tolist()
    assert sorted(images) == sorted(read(load_data(f"imagefolder:{folder}"))[0].flatten(1).tolist())
    assert len(x) == 6


def test_folders_of_parts(folder, tmp_path):
    split = tmp_path / "split"
    os.renames(folder, split / "train")
    for name, count in (("owl", 3), ("crow", 1)):
        for n in range(count):
            write(split / "val" / name / f"{n}.png")
    for part, labels in (("train", [8, 8, 8]), ("test", [1, 0, 3]), ("all", [9, 8, 11])):
        assert read(load_data(f"imagefolder:{split}", split=cast(Split, part)))[1].bincount().tolist() == labels
    write(split / "test" / "0001.png")  # a challenge: test images without classes
    assert len(read(load_data(f"imagefolder:{split}", split="test"))[1]) == 4
    write(split / "val" / "emu" / "0.png")
    with pytest.raises(DataError, match="the class 'emu' of .*val' is none of the 3 classes"):
        load_data(f"imagefolder:{split}")


def test_a_class_may_be_called_like_a_part(tmp_path):
    for name in ("bus", "train"):
        write(tmp_path / name / "0.png")
    assert read(load_data(f"imagefolder:{tmp_path}"))[1].tolist() == [0, 1]


def test_other_modes_become_rgb(tmp_path):
    for mode in ("L", "P", "RGBA", "1", "CMYK"):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new(mode, (5, 4)).save(tmp_path / "a" / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}")
    x, _ = read(load_data(f"imagefolder:{tmp_path}"))
    assert x.shape == (5, 3, 4, 5)


def test_images_of_many_bits_are_refused_not_cut_off(tmp_path):
    write(tmp_path / "a" / "0.png")
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "a" / "1.png")
    with pytest.raises(DataError, match=r"'a.1.png' has more than 8 bits a channel"):
        read(load_data(f"imagefolder:{tmp_path}"))


def test_mixed_sizes_name_two_files_and_the_remedy(folder):
    write(folder / "jay" / "03.png", size=(8, 9))
    write(folder / "owl" / "02.png", size=(20, 9))
    with pytest.raises(DataError, match=r"'crow.00.png' comes out with 8 x 8 .*'jay.03.png' with 8 x 9.*\(size=224\)"):
        read(load_data(f"imagefolder:{folder}", batch_size=5))
    data = load_data(f"imagefolder:{folder}(size=6)", batch_size=5)
    assert read(data)[0].shape == (24, 3, 6, 6)
    assert data.prepared == "6 px, bilinear, values 0 to 1"  # pyright: ignore
    assert read(load_data(f"imagefolder:{folder}(size=[4, 6])"))[0].shape == (24, 3, 4, 6)


def test_the_preprocessing_of_the_model(folder):
    facts = {"source": "timm", "input_size": (3, 4, 4), "crop_pct": 0.5, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    model = LoadedModel(torch.nn.Identity(), "net", data_config=facts)
    data = load_data(f"imagefolder:{folder}", model=model)
    plain, _ = read(load_data(f"imagefolder:{folder}"))
    assert torch.allclose(read(data)[0], (plain[..., 2:6, 2:6] - 0.5) / 0.25)
    assert data.prepared == "4 px, bilinear, crop .5, standardized"  # pyright: ignore
    assert read(load_data(f"imagefolder:{folder}(size=2)", model=model))[0].shape == (24, 3, 2, 2)
    shaped = LoadedModel(torch.nn.Identity(), "net", (1, 5, 5))
    assert read(load_data(f"imagefolder:{folder}", model=shaped))[0].shape == (24, 1, 5, 5)


def test_images_for_a_network_that_reads_tokens(folder, tmp_path):
    model = LoadedModel(
        torch.nn.Identity(), "net", data_config={"source": "hf", "folder": str(tmp_path), "main_input": "input_ids"}
    )
    with pytest.raises(SpecError, match="these are images, and the model reads tokens"):
        load_data(f"imagefolder:{folder}", model=model)


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_a_damaged_image_is_named(folder, content):
    file = folder / "jay" / "03.png"
    file.write_bytes(file.read_bytes()[:-60] if content is None else content)
    with pytest.raises(DataError, match=r"the image 'jay.03.png' cannot be decoded"):
        read(load_data(f"imagefolder:{folder}"))


def test_folders_that_hold_no_classes(tmp_path):
    empty, flat, hollow = (tmp_path / name for name in ("empty", "flat", "hollow"))
    empty.mkdir()
    (hollow / "crow").mkdir(parents=True)
    (hollow / "crow" / "a.txt").write_text("")
    for n in range(8):
        write(flat / f"{n}.png")
    for folder, message in (
        (empty, "has no class folders, it holds nothing; lay the images out as FOLDER/CLASS/IMAGE"),
        (flat, "has no class folders, it holds '0.png', '1.png', .* and 2 more; lay"),
        (hollow, "the class folder .*crow' holds no image, but 'a.txt'"),
    ):
        with pytest.raises(DataError, match=message):
            load_data(f"imagefolder:{folder}")
    with pytest.raises(SpecError, match="is not a folder"):
        load_data(f"imagefolder:{flat / '0.png'}")


def test_options_that_cannot_be_used(folder):
    with pytest.raises(DataError, match="`examples` = 25 are asked for, the split 'all' has 24"):
        load_data(f"imagefolder:{folder}(examples=25)")
    with pytest.raises(SpecError, match="`size` must be pixels"):
        load_data(f"imagefolder:{folder}(size=0)")
    with pytest.raises(InputError, match="`batch_size` must be at least 1"):
        load_data(f"imagefolder:{folder}", batch_size=0)


def test_without_pillow_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(SpecError, match=r"`imagefolder:` needs .*pip install 'netcaliper\[images\]'"):
        load_data(f"imagefolder:{folder}")
