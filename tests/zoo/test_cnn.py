"""A CNN has the widths, the depth and the pooling that its configuration says."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from netcaliper.errors import InputError
from netcaliper.zoo.cnn import CNN, CNNConfig


@settings(max_examples=25)
@given(
    widths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    depth=st.integers(1, 3),
    norm=st.booleans(),
    channels=st.integers(1, 3),
    size=st.sampled_from([8, 9, 12]),
)
def test_every_convolution_has_its_width_and_pixels(widths, depth, norm, channels, size):
    model = CNN(channels, size, widths, depth=depth, norm=norm).eval()
    seen = []

    def record(name, _module, _inputs, output):
        seen.append((name, tuple(output.shape[1:])))

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(functools.partial(record, name))
    assert model(torch.randn(2, channels, size, size)).shape == (2, 10)
    assert seen == [
        (f"stages.{s}.{d}.conv", (width, size >> s, size >> s)) for s, width in enumerate(widths) for d in range(depth)
    ]


def test_width_factor_scales_every_stage():
    assert CNN(widths=[4, 6], width=2.5).config.stage_widths == (10, 15)
    assert CNNConfig(widths=(4, 6), width=0.01).stage_widths == (1, 1)


def test_one_stage_can_be_widened_alone():
    assert CNN(widths=[4, 6, 8], width=2.0, only=1).config.stage_widths == (4, 12, 8)
    with pytest.raises(InputError, match="`only` = 3 must be below the 3 stages of `widths`"):
        CNNConfig(only=3)


def test_width_factor_one_and_two_halves_agree():
    """A factor on the base widths is only another way to write the widths."""
    scaled = CNN(widths=[4, 8], width=2.0)
    written = CNN(widths=[8, 16])
    written.load_state_dict(scaled.state_dict())
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(scaled.eval()(x), written.eval()(x), rtol=0, atol=0)


def test_batchnorm_replaces_the_bias():
    assert [n for n, _ in CNN(widths=[2], norm=True).named_parameters() if "conv" in n] == ["stages.0.0.conv.weight"]
    assert "stages.0.0.conv.bias" in dict(CNN(widths=[2], norm=False).named_parameters())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in CNN(widths=[2], norm=False).modules())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 8, "widths": [1] * 5}, "`size` = 8 pixels are halved 4 times.*`size` of at least 16"),
        ({"width": 0}, "`width` = 0.*greater than 0"),
        ({"width": float("nan")}, "`width` = nan"),
        ({"depth": 0}, "`depth` = 0"),
        ({"norm": "maybe"}, "`norm` = 'maybe'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        CNNConfig(**arguments)
