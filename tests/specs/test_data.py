"""What stands for data on the command line becomes batches, or a message that says what would."""

import pytest

from netcaliper.errors import SpecError
from netcaliper.specs.data import from_factory


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "my_loaders.py").write_text(
        "import torch\n"
        "batches = [torch.zeros(2, 3)]\n"
        "def plain(): return [torch.zeros(2, 3), torch.ones(1, 3)]\n"
        "def parts(split): return [torch.full((1,), len(split))]\n"
        "def once(): return (b for b in plain())\n"
        "def number(): return 3\n"
        "def broken(): raise KeyError('path')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("factories")
def test_factories():
    assert len(list(from_factory("my_loaders:plain"))) == 2
    assert int(next(iter(from_factory("my_loaders:parts", "train")))) == 5


@pytest.mark.parametrize(
    ("spec", "split", "message"),
    [
        ("my_loaders:once", "all", r"one-shot generator.*list\(data\)"),
        ("my_loaders:number", "all", "got int"),
        ("my_loaders:broken", "all", "KeyError: 'path'"),
        ("my_loaders:batches", "all", "is a list; name a function"),
        ("my_loaders:plain", "test", "has no parameter `split`"),
        ("my_loaders:plian", "all", "did you mean 'plain'"),
    ],
)
@pytest.mark.usefixtures("factories")
def test_factories_that_cannot_be_used(spec, split, message):
    with pytest.raises(SpecError, match=message):
        from_factory(spec, split)
