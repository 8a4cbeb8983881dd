"""Images are prepared as timm and transformers prepare them, pixel by pixel."""

import importlib
import json

import numpy as np
import pytest
import torch

from netcaliper.errors import DataError, InputError
from netcaliper.specs.datasets.preprocessing import preprocessing
from timm_models import import_timm, import_transformers

Image = pytest.importorskip("PIL.Image")

SIZES = [(50, 71), (90, 41), (32, 32), (20, 21), (120, 17), (37, 38)]
STATISTICS = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.1)}


def picture(height, width, seed=0, channels=3):
    noise = np.random.default_rng((seed, height, width)).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(noise if channels == 3 else noise[..., 0])


def prepared(steps, image):
    return steps.values(torch.from_numpy(steps.pixels(image))[None])[0]


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("size", "part"), [((32, 32), 0.875), ((31, 45), 0.95), ((33, 33), 1.0), ((24, 24), 1.1)])
def test_as_timm_does(mode, size, part):
    try:
        import_timm()
        create = importlib.import_module("timm.data").create_transform
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm cannot be imported here: {error}")
    for interpolation in ("nearest", "bilinear", "bicubic", "lanczos"):
        config = {"input_size": (3, *size), "interpolation": interpolation, "crop_pct": part, "crop_mode": mode}
        theirs = create(**config, **STATISTICS, is_training=False)
        ours = preprocessing({"source": "timm"} | config | STATISTICS)
        assert ours.one_size
        for height, width in SIZES:
            image = picture(height, width)
            torch.testing.assert_close(prepared(ours, image), theirs(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("module", "kind", "settings"),
    [
        ("vit", "ViT", {"size": {"height": 30, "width": 40}}),
        ("deit", "DeiT", {"size": {"height": 41, "width": 41}, "crop_size": {"height": 32, "width": 32}}),
        ("clip", "CLIP", {"size": {"shortest_edge": 33}, "crop_size": {"height": 32, "width": 32}}),
        ("bit", "Bit", {"size": {"shortest_edge": 40}, "crop_size": {"height": 31, "width": 31}}),
        ("beit", "Beit", {"size": {"height": 41, "width": 41}, "do_center_crop": False}),
        ("siglip", "Siglip", {"size": {"height": 30, "width": 30}, "do_rescale": False}),
        ("convnext", "ConvNext", {"size": {"shortest_edge": 32}}),
        ("convnext", "ConvNext", {"size": {"shortest_edge": 384}, "do_normalize": False}),
    ],
)
def test_as_the_image_processors_of_transformers_do(tmp_path, module, kind, settings):
    try:
        import_transformers()
        name = f"transformers.models.{module}.image_processing_pil_{module}"
        processor = getattr(importlib.import_module(name), f"{kind}ImageProcessorPil")(**settings)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"the Pillow image processors cannot be imported here: {error}")
    processor.save_pretrained(tmp_path)
    ours = preprocessing({"source": "hf", "folder": str(tmp_path)})
    for height, width in SIZES:
        image = picture(height, width)
        theirs = torch.as_tensor(processor(image, return_tensors="pt")["pixel_values"][0])
        torch.testing.assert_close(prepared(ours, image), theirs.float(), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 24}, "24 px, bilinear, squeezed"),
        ({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 24}, "24 px, bilinear, crop .889"),
        (
            {"feature_extractor_type": "CLIPFeatureExtractor", "size": 30, "do_center_crop": True, "crop_size": 24},
            "24 px, bilinear, crop .8",
        ),
    ],
)
def test_files_of_earlier_versions(tmp_path, facts, words):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"resample": 2} | facts))
    assert preprocessing({"source": "hf", "folder": str(tmp_path)}).words == f"{words}, values 0 to 1"


def test_without_a_configuration():
    image = picture(40, 80)
    steps = preprocessing()
    assert not steps.one_size
    assert torch.equal(prepared(steps, image), torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255)
    assert steps.words == "size as it is, values 0 to 1"

    steps = preprocessing(size=20)
    expected = image.resize((40, 20), Image.Resampling.BILINEAR).crop((10, 0, 30, 20))
    assert torch.equal(prepared(steps, image) * 255, torch.from_numpy(np.array(expected)).permute(2, 0, 1).float())
    assert steps.words == "20 px, bilinear, values 0 to 1"


def test_a_size_beside_the_configuration_keeps_everything_else(tmp_path):
    config = {"source": "timm", "input_size": (3, 32, 32), "interpolation": "bicubic", "crop_pct": 0.8} | STATISTICS
    steps = preprocessing(config, size=16)
    assert steps == preprocessing(config | {"input_size": (3, 16, 16)})
    assert steps.words == "16 px, bicubic, crop .8, standardized"
    facts = {"image_processor_type": "CLIPImageProcessor", "resample": 3, "do_center_crop": True}
    for size in (32, 16):
        facts |= {"size": {"shortest_edge": size * 5 // 4}, "crop_size": {"height": size, "width": size}}
        (tmp_path / f"{size}").mkdir()
        (tmp_path / f"{size}" / "preprocessor_config.json").write_text(json.dumps(facts))
    large, small = ({"source": "hf", "folder": str(tmp_path / name)} for name in ("32", "16"))
    assert preprocessing(large, size=16) == preprocessing(small)


def test_a_network_says_its_shape_where_no_configuration_does(tmp_path):
    gray = preprocessing(shape=(1, 12, 10))
    assert prepared(gray, picture(30, 30)).shape == (1, 12, 10)
    assert prepared(gray, picture(30, 30, channels=1)).shape == (1, 12, 10)
    assert gray.words == "12 x 10 px, bilinear, gray, values 0 to 1"
    assert preprocessing(shape=(64,)) == preprocessing()  # an MLP says nothing about images
    assert preprocessing({"source": "hf", "folder": str(tmp_path)}, shape=(3, 9, 9)).crop == (9, 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "`size` must be pixels"),
        ({"size": (3, 0)}, "`size` must be pixels"),
        ({"size": 10**6}, "from 1 to 16,384"),
        ({"mean": (0.5, 0.5, 0.5)}, "`mean` and `std` standardize together"),
        ({"mean": (0.5,), "std": (0.5,)}, "one number for each of 3 channels"),
        ({"mean": (0.5,) * 3, "std": (0.5, 0.5, 0.0)}, "`std` above 0"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(InputError, match=message):
        preprocessing(**options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "holds no JSON object"),
        ('{"image_processor_type": "SamImageProcessor"}', "by SamImageProcessor, which netcaliper does not do"),
        ('{"image_processor_type": "ViTImageProcessor", "do_pad": true}', "ViTImageProcessor with `do_pad`"),
        ('{"image_processor_type": "ViTImageProcessor"}', "does not say `size`"),
        ('{"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 3}}', "has the size"),
        ('{"image_processor_type": "ViTImageProcessor", "size": 3}', "does not say `resample`"),
        ('{"image_processor_type": "ViTImageProcessor", "size": 3, "resample": 9}', "interpolation is 9"),
    ],
)
def test_configurations_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(DataError, match=message):
        preprocessing({"source": "hf", "folder": str(tmp_path)})


def test_a_crop_mode_of_timm_that_is_unknown():
    with pytest.raises(DataError, match="`crop_mode` is 'five'"):
        preprocessing({"source": "timm", "input_size": (3, 4, 4), "crop_mode": "five"})
