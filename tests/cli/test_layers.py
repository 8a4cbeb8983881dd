"""``netcaliper layers``: a network, or the checkpoints of its training, and data in; what its layers say, out."""

import json

import numpy as np
import pytest

import netcaliper as nc
from command_line import contents, done, json_of, netcaliper, refused
from netcaliper.reading.layers_reading import LayersReading

NET = "zoo:mlp(widths=[12, 8])"
DATA = ("--data", "digits(examples=120)")
FEW = (*DATA, "--passes", "1", "--batch", "60", "--batch-size", "50")
BRIEF = (*FEW, "--no-twin", "--skip", "neighbors,procrustes,variants,probes,deletion")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished reading on disk and what the command printed."""
    folder = tmp_path_factory.mktemp("kept") / "reading"
    return folder, netcaliper("layers", NET, *FEW, "-o", folder)


@pytest.fixture(scope="module")
def epochs(tmp_path_factory):
    """The folder of checkpoints that a training of two epochs leaves."""
    out = tmp_path_factory.mktemp("trained") / "net"
    quick = ("--data", "digits(examples=200)", "--epochs", "2", "--learning-rate", "0.02", "--batch-size", "64")
    done("train", NET, *quick, "-o", out, "--keep-every", "1")
    return out.with_name("net.epochs")


def strict(text):
    """Read JSON as others do: NaN and infinity are none of it."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_end_to_end(kept):
    folder, result = kept
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("cost: ")
    assert "forward passes of the data" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert f"page:    {folder / 'report.html'}" in result.stdout
    assert "minibatch debiased linear CKA" in result.stdout
    assert set(contents(folder)) == {"reading.json", "arrays.safetensors", "cost.json", "report.html"}
    reading = nc.load(folder)
    assert isinstance(reading, LayersReading)
    (network,) = reading.networks
    names = ["input", "hidden.0.linear", "hidden.0.act", "hidden.1.linear", "hidden.1.act", "head"]
    assert [layer.name for layer in network.layers] == names
    assert reading.arrays["0/cka"].shape == (6, 6)
    assert network.probing is not None
    assert (reading.twin_kind, reading.estimator.batches) == ("factory", 2)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "hidden.1.act" in page


def test_the_same_command_gives_the_same_reading_and_json_is_its_record(kept, tmp_path):
    out = tmp_path / "r"
    found = strict(done("layers", NET, *FEW, "-o", out, "--json"))
    for name in ("reading.json", "arrays.safetensors"):
        assert (out / name).read_bytes() == (kept[0] / name).read_bytes()
    on_disk = strict((out / "reading.json").read_text())
    assert found["networks"] == on_disk["networks"]
    assert found["origin"] == on_disk["origin"]
    assert (found["folder"], found["page"]) == (str(out), str(out / "report.html"))
    assert "arrays" not in found


def test_choosing_layers_and_parts():
    found = json_of("layers", NET, *BRIEF, "--layers", "hidden.*", "--layers", "head", "--examples", "80", "--fast")
    (network,) = found["networks"]
    assert [layer["name"] for layer in network["layers"]][-1] == "head"
    assert len(network["layers"]) == 5
    assert found["estimator"]["examples"] == 80
    assert found["estimator"]["precision"] == "bfloat16 products"
    assert (found["twin"], network["probing"], network["neighbors_k"]) == (None, None, None)
    assert "`skip` must name parts among" in refused("layers", NET, *FEW, "--skip", "probing")
    assert "with no match" in refused("layers", NET, *FEW, "--layers", "stage9.*")
    assert "must leave at least 2 layers" in refused("layers", NET, *FEW, "--layers", "streams")


def test_an_existing_folder_is_refused_before_anything_is_computed(kept, monkeypatch):
    before = contents(kept[0])
    monkeypatch.setattr("netcaliper.specs.model.load_model", lambda *_, **__: pytest.fail("the model was loaded"))
    assert "must not exist" in refused("layers", NET, *FEW, "-o", kept[0])
    assert contents(kept[0]) == before


def test_replace(tmp_path):
    done("layers", NET, *BRIEF, "-o", tmp_path / "r")
    before = contents(tmp_path / "r")
    done("layers", NET, *BRIEF, "-o", tmp_path / "r", "--replace", "--seed", "1")
    assert contents(tmp_path / "r")["reading.json"] != before["reading.json"]


def test_an_interrupt_while_the_page_is_written_keeps_the_reading(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("netcaliper.report.page.render", stop)
    result = netcaliper("layers", NET, *BRIEF, "-o", tmp_path / "r")
    assert result.exit_code == 130
    assert "is complete, its page is not" in result.stderr
    assert isinstance(nc.load(tmp_path / "r"), LayersReading)


def test_the_page_and_its_figures_from_the_folder_alone(kept, tmp_path):
    folder, _ = kept
    before = (folder / "report.html").read_bytes()
    found = json_of("report", folder, "--figures", tmp_path / "f", "--formats", "svg")
    assert found["figures"]
    assert {path.suffix for path in (tmp_path / "f").iterdir()} == {".svg"}
    assert (folder / "report.html").read_bytes() == before


def test_diff_is_for_units(kept):
    for more in ((), ("--json",)):
        line = refused("diff", kept[0], kept[0], *more)
        assert "reading of units" in line
        assert "of layers" in line
        assert str(kept[0]) in line


def test_a_folder_of_checkpoints(epochs, tmp_path):
    names = sorted(path.name for path in epochs.iterdir())
    assert [name.startswith("epoch-") for name in names] == [True] * len(names)
    text = done("layers", epochs, *FEW, "-o", tmp_path / "r")
    assert "page: " in text
    reading = nc.load(tmp_path / "r")
    assert isinstance(reading, LayersReading)
    assert reading.trajectory is not None
    assert list(reading.trajectory.checkpoints) == names
    assert reading.trajectory.final == len(names) - 1
    training = reading.arrays["training/cka"]
    assert training.shape == (len(names), 6)
    np.testing.assert_allclose(training[-1], 1, atol=1e-6)
    assert (training[0, 1:] < 0.9999).all()
    found = strict(done("layers", epochs, *FEW, "--layers", "sites", "--json"))
    assert found["trajectory"]["checkpoints"] == names
    assert "(rebuilt)" in done("report", tmp_path / "r")


def test_the_tangent_kernels_of_checkpoints(epochs):
    reading = strict(done("layers", epochs, *FEW, "--ntk", "8", "--json"))
    assert "tangent kernels" in reading["cost"]["seconds"]
    assert "`--ntk` is for a folder of checkpoints" in refused("layers", NET, *FEW, "--ntk", "8")
    assert "`ntk` must be 0, or from 4 to" in refused("layers", epochs, *FEW, "--ntk", "3")


def test_what_is_not_for_checkpoints(epochs, tmp_path):
    assert "`--skip` is for one network" in refused("layers", epochs, *FEW, "--skip", "probes")
    assert "`--weights` is for one network" in refused("layers", epochs, *FEW, "--weights", tmp_path / "w.pt")
    (tmp_path / "epoch-1").mkdir()
    assert "must hold checkpoints named epoch-<number>, got none" in refused("layers", tmp_path, *FEW)


def test_other_misuse():
    assert "`memory` must hold" in refused("layers", NET, *FEW, "--memory", "9kB")
    assert "at least 4 examples" in refused("layers", NET, "--data", "digits(examples=3)", code=1)
    assert "takes no tokens" in refused("layers", NET, *FEW, "--features", "tokens")
    result = netcaliper("layers", NET, *DATA, "--batch", "3")
    assert result.exit_code == 2
    assert "Traceback" not in result.output
