"""The checkpoints of one training."""

import pytest
import torch

from netcaliper.errors import CorruptReading, InputError
from netcaliper.zoo.checkpoint import save_checkpoint
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.series import epochs


def test_in_order_of_the_number_and_loaded_when_asked_for(tmp_path):
    for number, name in enumerate(("epoch-10000", "epoch-0002", "epoch-9999", "other", ".epoch-0003.ab.partial")):
        torch.manual_seed(number)
        save_checkpoint(MLP(inputs=4, widths=(3,), classes=2), tmp_path / name)
    (tmp_path / "epoch-0005").mkdir()
    found = epochs(tmp_path)
    assert list(found) == ["epoch-0002", "epoch-9999", "epoch-10000"]
    assert len(found) == 3
    first, again, other = found["epoch-0002"], found["epoch-0002"], found["epoch-9999"]
    assert first is not again
    assert torch.equal(first.state_dict()["head.weight"], again.state_dict()["head.weight"])
    assert not torch.equal(first.state_dict()["head.weight"], other.state_dict()["head.weight"])
    assert not first.training
    (tmp_path / "epoch-9999" / "model.safetensors").write_bytes(b"no")
    with pytest.raises(CorruptReading):
        found["epoch-9999"]


def test_refused(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        epochs(tmp_path / "no")
    with pytest.raises(InputError, match="named epoch-<number>, got none"):
        epochs(tmp_path)
