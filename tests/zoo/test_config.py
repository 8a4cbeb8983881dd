"""Configurations survive a round trip through JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st

from netcaliper.zoo.activation import ACTIVATIONS
from netcaliper.zoo.cnn import CNNConfig
from netcaliper.zoo.mlp import MLPConfig

widths = st.lists(st.integers(1, 500), min_size=1, max_size=3)


@given(widths=widths, activation=st.sampled_from(ACTIVATIONS), inputs=st.integers(1, 100))
def test_mlp_config_round_trip(widths, activation, inputs):
    config = MLPConfig(inputs=inputs, widths=widths, activation=activation)
    assert MLPConfig(**json.loads(config.model_dump_json())) == config


@given(widths=widths, width=st.floats(0.01, 10), norm=st.booleans())
def test_cnn_config_round_trip(widths, width, norm):
    config = CNNConfig(widths=widths, width=width, norm=norm)
    assert CNNConfig(**json.loads(config.model_dump_json())) == config
