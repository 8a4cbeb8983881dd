"""What stands for data on the command line becomes batches, or a message that says what would."""

import numpy as np
import pytest
import torch
from torch import nn

from netcaliper.errors import DataError, SpecError
from netcaliper.specs.data import data_name, data_options, from_factory, load_data
from netcaliper.specs.loaded import LoadedModel


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


@pytest.mark.usefixtures("factories")
def test_data_specs(tmp_path):
    assert len(load_data("digits", split="test", batch_size=100).dataset) == 450  # pyright: ignore
    np.savez(tmp_path / "d.npz", x=np.zeros((5, 2)))
    assert [len(batch) for batch in load_data(f"npz:{tmp_path / 'd.npz'}", batch_size=3)] == [3, 2]
    assert [tuple(batch.shape) for batch in load_data("my_loaders:plain")] == [(2, 3), (1, 3)]


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "npz:",
        "cifar10",
        "cifar10:",
        "zoo:mlp",
        "digits:train:x",
        "teacher:3",
        "teacher:x",
        "digits2",
        "imagefolder",
        "imagefolder:(size=3)",
        "parquet:",
        "a\0b",
        "x" * 10_000,
    ],
)
def test_data_specs_that_cannot_be_resolved(spec):
    with pytest.raises(SpecError, match="upported are `digits`, `npz:FILE`, `cifar10:FOLDER`"):
        load_data(spec)


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("digit", "digits"),
        ("imagefoldr:birds", "imagefolder:FOLDER"),
        ("image_folder:/a/b", "imagefolder:FOLDER"),
        ("parqet:a/b.parquet", "parquet:FILE"),
        ("cifar:folder/x", "cifar10:FOLDER"),
        ("dataset:x", "datasets:FOLDER"),
        ("nps:x.npz", "npz:FILE"),
    ],
)
def test_a_typo_is_answered_with_the_nearest_form(spec, meant):
    with pytest.raises(SpecError, match=f"did you mean `{meant}`"):
        load_data(spec)


@pytest.mark.parametrize("name", ["npz", "cifar10", "imagefolder", "parquet", "datasets"])
def test_a_missing_file_is_named_with_its_nearest_neighbor(tmp_path, name):
    if name == "datasets":
        pytest.importorskip("datasets")
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds.npz").write_bytes(b"")
    with pytest.raises(SpecError, match="there is no|has no train.parquet") as error:
        load_data(f"{name}:{tmp_path / 'brids'}")
    assert name == "cifar10" or "did you mean" in str(error.value)
    with pytest.raises(SpecError):
        load_data(f"{name}:a\0b")


@pytest.mark.parametrize(
    ("spec", "examples", "first"),
    [
        ("digits(examples=30)", 30, (30, 1, 8, 8)),
        ("digits( examples = 30 , seed=2 ) ", 30, (30, 1, 8, 8)),
        ("digits()", 1797, (256, 1, 8, 8)),
        ("teacher", 2000, (256, 10)),
        ("teacher(inputs=7, examples=20)", 1020, (256, 7)),
    ],
)
def test_options_of_data_specs(spec, examples, first):
    data = load_data(spec)
    assert len(data.dataset) == examples  # pyright: ignore[reportAttributeAccessIssue]
    assert next(iter(data))[0].shape == first


@pytest.mark.usefixtures("factories")
def test_options_given_beside_the_spec():
    def labels(spec, **options):
        return torch.cat([y for _, y in load_data(spec, split="train", **options)])

    assert torch.equal(labels("digits(examples=40)"), labels("digits", examples=40))
    assert torch.equal(labels("digits(random_labels=True)"), labels("digits", random_labels=True))
    assert len(labels("digits(examples=40)", examples=50)) == 50
    with pytest.raises(SpecError, match="a factory chooses its own examples and labels"):
        load_data("my_loaders:plain", examples=3)


def test_parentheses_in_a_path_are_no_options(tmp_path):
    np.savez(tmp_path / "run (1).npz", x=np.zeros((5, 2)), y=np.arange(5) % 2)
    np.savez(tmp_path / "run(2)", x=np.zeros((7, 2)))
    assert len(load_data(f"npz:{tmp_path / 'run (1).npz'}").dataset) == 5  # pyright: ignore
    assert len(load_data(f"npz:{tmp_path / 'run (1).npz'}(examples=2)").dataset) == 2  # pyright: ignore
    assert len(load_data(f"npz:{tmp_path / 'run(2).npz'}").dataset) == 7  # pyright: ignore


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digits(exampels=3)", "did you mean `examples`"),
        ("digits(examples=0)", "`examples` = 0"),
        ("digits(examples=open)", "`examples` = open is not a plain value"),
        ("teacher(inputs=10, inputs=9)", "`inputs` is given twice"),
        ("imagefolder:x(sice=3)", "did you mean `size`"),
        ("imagefolder:x(size='big')", "`size` = 'big'"),
        ("parquet:x(txt='a')", "did you mean `text`"),
        ("parquet:x(label=True)", "`label` = True"),
        ("parquet:x(length=0)", "`length` = 0"),
    ],
)
def test_bad_options_of_data_specs(spec, message):
    with pytest.raises(SpecError, match=message):
        load_data(spec)


def test_options_of_data_are_those_of_the_spec_and_beside_it():
    options = data_options("digits(examples=30, seed=2)", examples=40, random_labels=True)
    assert options is not None
    assert (options.examples, options.seed, options.random_labels) == (40, 2, True)
    crop = data_options("cifar10:/no/where(crop=28)")
    assert getattr(crop, "crop", None) == 28
    sized = data_options("imagefolder:/no/where(size=[3, 4])")
    assert getattr(sized, "size", None) == (3, 4)
    assert data_options("package.module:factory") is None
    with pytest.raises(SpecError, match="a factory chooses its own examples and labels"):
        data_options("package.module:factory", random_labels=True)


def test_arrays_named_after_arguments_of_the_network(tmp_path):
    class Net(nn.Module):
        def forward(self, input_ids, attention_mask=None):
            return input_ids

    file = tmp_path / "t.npz"
    np.savez(file, input_ids=np.ones((5, 3), int), attention_mask=np.ones((5, 3), bool), labels=np.arange(5))
    data = load_data(f"npz:{file}", batch_size=4, model=LoadedModel(Net(), "net"))
    assert [sorted(batch) for batch in data] == [["attention_mask", "input_ids", "labels"]] * 2
    np.savez(file, input_id=np.ones((5, 3), int))
    with pytest.raises(DataError, match=r"\(here attention_mask, input_ids\).*it has: input_id"):
        load_data(f"npz:{file}", model=LoadedModel(Net(), "net"))


def test_a_reading_says_which_part_was_read_and_how_it_was_prepared():
    data = load_data("digits")
    assert data_name("digits", data) == "digits"
    assert data_name("digits", data, "test") == "digits (test)"
    data.prepared = "32 px"  # pyright: ignore[reportAttributeAccessIssue]
    assert data_name("digits", data, "test") == "digits (test; 32 px)"
