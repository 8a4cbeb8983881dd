"""``multi30k:FOLDER``: what the spec reads, trains, and refuses."""

import sys
from pathlib import Path

import pytest

from command_line import done
from netcaliper.errors import SpecError
from netcaliper.specs.data import data_name, load_data
from netcaliper.specs.loaded import LoadedModel
from netcaliper.specs.model import load_model
from netcaliper.zoo.translation import Pairs
from sentence_pairs import write_multi30k

pytest.importorskip("tokenizers")

NETWORK = "zoo:encoder_decoder(width=8, depth=1, heads=1, vocabulary=300, length=64)"


@pytest.fixture
def folder(tmp_path):
    write_multi30k(tmp_path)
    return tmp_path


def test_the_spec_reads_the_parts_and_options(folder):
    train, test = (load_data(f"multi30k:{folder}(vocabulary=300)", split=split) for split in ("train", "test"))
    assert isinstance(train, Pairs)
    assert isinstance(test, Pairs)
    assert (len(train.sources), len(test.sources)) == (240, 40)
    spec = f"multi30k:{folder}(vocabulary=300, held_out='val', lowercase=False, examples=10)"
    some = load_data(spec, split="test", batch_size=4)
    assert isinstance(some, Pairs)
    assert (len(some.sources), len(some)) == (10, 3)
    assert (
        data_name(spec, some, "test") == f"{spec} (test; de to en, 300 joint subwords, 0 of 10 pairs cut to 64 tokens)"
    )


def test_a_model_that_fits_is_given_the_data(folder):
    assert load_data(f"multi30k:{folder}(vocabulary=300)", model=load_model(NETWORK))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("zoo:mlp(inputs=4, widths=[4])", "takes no `decoder_input_ids`"),
        ("zoo:encoder_decoder(width=8, depth=1, heads=1, vocabulary=299, length=64)", "`vocabulary` = 299"),
        ("zoo:encoder_decoder(width=8, depth=1, heads=1, vocabulary=300, length=32)", "`length` = 32"),
    ],
)
def test_a_model_that_does_not_is_refused(folder, model, words):
    with pytest.raises(SpecError, match=words):
        load_data(f"multi30k:{folder}(vocabulary=300)", model=load_model(model))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("multi30k:{folder}(vocabulary=100)", "`vocabulary` must be at least 259"),
        ("multi30k:{folder}(random_labels=True)", "a translation has none"),
        ("multi30k:{folder}(sources='de')", "did you mean `source`"),
        ("multi30k:{folder}x", "there is no folder"),
        ("multi30k:{folder}/sub", "has no train.de.gz"),
        ("multi30k", "did you mean `multi30k:FOLDER`|is not a data spec"),
    ],
)
def test_what_cannot_be_read_is_refused(folder, spec, words):
    (folder / "sub").mkdir()
    with pytest.raises(Exception, match=words) as caught:
        load_data(spec.format(folder=folder))
    assert type(caught.value).__module__ == "netcaliper.errors"


def test_without_the_library_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(SpecError, match=r"netcaliper\[translation\]"):
        load_data(f"multi30k:{folder}", model=LoadedModel(load_model(NETWORK).model, "n"))


def test_the_command_trains_on_it(folder, tmp_path):
    out = tmp_path / "trained"
    spec = f"multi30k:{folder}(vocabulary=300)"
    said = done("train", NETWORK, "--data", spec, "-o", str(out), "--epochs", "1", "--batch-size", "64")
    assert "240 examples, 1 epoch" in said
    assert Path(out).is_dir()
