"""``netcaliper compare``: networks, or groups of seeds, and one set of data in; what they say and answer, out."""

import json
import re
from importlib import import_module

import pytest

import netcaliper as nc
from command_line import contents, done, json_of, netcaliper, refused
from netcaliper.reading.layers_reading import LayersReading

A, B, C = "zoo:mlp(widths=[12, 8])", "zoo:mlp(widths=[10])", "zoo:cnn(widths=[4, 6])"
DATA = ("--data", "digits(examples=120)")
FEW = (*DATA, "--passes", "1", "--batch", "60", "--batch-size", "50")
ODD = {str(k): "odd" if k % 2 else "even" for k in range(10)}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Three checkpoints: two seeds of one architecture, and another one."""
    folder = tmp_path_factory.mktemp("seeds")
    quick = ("--data", "digits(examples=200)", "--epochs", "1", "--learning-rate", "0.02", "--batch-size", "64")
    for name, model, seed in (("a0", A, 0), ("a1", A, 1), ("b0", B, 0)):
        done("train", model, *quick, "-o", folder / name, "--seed", seed)
    return folder


@pytest.fixture(scope="module")
def kept(seeds, tmp_path_factory):
    """A finished reading of two groups, and what the command printed."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "super.json").write_text(json.dumps(ODD))
    groups = (f"narrow={seeds / 'a0'}", f"narrow={seeds / 'a1'}", f"other={seeds / 'b0'}")
    result = netcaliper("compare", *groups, *FEW, "-o", folder / "r", "--superclasses", folder / "super.json")
    return folder / "r", result


def test_groups_end_to_end(kept, seeds):
    folder, result = kept
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("cost: ")
    assert len(result.stderr.splitlines()) == 1
    assert f"page:    {folder / 'report.html'}" in result.stdout
    assert set(contents(folder)) == {"reading.json", "arrays.safetensors", "cost.json", "report.html"}
    reading = nc.load(folder)
    assert isinstance(reading, LayersReading)
    assert [network.name for network in reading.networks] == ["narrow.1", "narrow.2", "other"]
    assert [(group.name, group.networks) for group in reading.groups] == [("narrow", (0, 1)), ("other", (2,))]
    assert all(network.accuracy is not None for network in reading.networks)
    assert len(reading.crossings) == 3
    for name in ("narrow", "other"):
        assert name in result.stdout
    data = nc.load_data("digits(examples=120)", batch_size=50)
    models = [nc.load_model(str(seeds / name)).model for name in ("a0", "a1", "b0")]
    expected = nc.compare(
        {"narrow": models[:2], "other": models[2]}, data, passes=1, batch=60, superclasses=ODD,
        data_name=reading.origin.data,
    )  # fmt: skip
    assert json.loads(reading.model_dump_json()) == json.loads(expected.model_dump_json())


def strict(text):
    """Read JSON as others do: NaN and infinity are none of it."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_json_is_the_record(kept, seeds):
    groups = (f"narrow={seeds / 'a0'}", f"narrow={seeds / 'a1'}", f"other={seeds / 'b0'}")
    found = strict(done("compare", *groups, *FEW, "--json"))
    on_disk = strict((kept[0] / "reading.json").read_text())
    assert found["agreements"] == on_disk["agreements"]
    assert found["crossings"] == on_disk["crossings"]
    assert [network["name"] for network in found["networks"]] == ["narrow.1", "narrow.2", "other"]
    assert (found["folder"], found["page"]) == (None, None)
    assert found["cost"]["passes"] > 0
    assert not set(found) & {"arrays", "failed"}


def test_networks_without_names_get_those_of_their_specs():
    found = json_of("compare", A, C, A, *FEW, "--layers", "sites")
    names = [network["name"] for network in found["networks"]]
    assert len(set(names)) == 3
    assert names[2] == f"{names[0]} (3)"
    assert found["groups"] == []
    assert found["estimator"]["chosen"] == "sites"
    assert found["crossings"][1]["matched"] is not None
    assert found["crossings"][0]["matched"] is None


def test_a_network_without_a_name_is_in_no_group(seeds):
    found = json_of("compare", seeds / "a0", f"a0={seeds / 'a1'}", *FEW, "--layers", "sites")
    names = [network["name"] for network in found["networks"]]
    assert len(set(names)) == 2
    assert found["groups"] == []


def test_the_page_is_rebuilt_from_the_folder(kept):
    folder, _ = kept
    before = (folder / "report.html").read_bytes()
    assert "(rebuilt)" in done("report", folder)
    assert (folder / "report.html").read_bytes() == before


def test_an_existing_folder_is_refused_before_anything_is_computed(kept, monkeypatch):
    folder, _ = kept
    before = contents(folder)
    with monkeypatch.context() as patched:
        patched.setattr("netcaliper.specs.model.load_model", lambda *_, **__: pytest.fail("the model was loaded"))
        assert "must not exist" in refused("compare", A, B, *FEW, "-o", folder)
        (folder.parent / "mine").mkdir(exist_ok=True)
        (folder.parent / "mine" / "work.txt").write_text("mine")
        assert "not a reading" in refused("compare", A, B, *FEW, "-o", folder.parent / "mine", "--replace")
    assert contents(folder) == before
    other = folder.parent / "other"
    done("compare", A, C, *FEW, "--layers", "sites", "-o", other)
    first = contents(other)
    done("compare", A, C, *FEW, "--layers", "sites", "-o", other, "--replace", "--seed", "1")
    assert contents(other)["reading.json"] != first["reading.json"]


def test_an_interrupt_keeps_what_was_there(kept, monkeypatch):
    folder, _ = kept
    before = contents(folder)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("netcaliper.compare.compare"), "align", interrupted)
    result = netcaliper("compare", A, B, *FEW, "-o", folder, "--replace")
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("given", [f"={A}", "name="])
def test_names_that_are_none(given):
    assert "must be given as NAME=MODEL or MODEL, got" in refused("compare", given, B, *DATA)


FILES = {
    "missing": (None, "`--superclasses` .* cannot be read: "),
    "no JSON": ("{", "is not JSON: "),
    "no text": (b"\xff\xfe{}", "cannot be read: .*; give a text file in UTF-8"),
    "a list": ('["cat"]', "must map class names to names of superclasses, got list"),
    "numbers": ('{"1": 2}', "must map class names to names of superclasses"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_of_superclasses(case, tmp_path):
    content, said = FILES[case]
    file = tmp_path / "s.json"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused("compare", A, B, *DATA, "--superclasses", file)
    assert re.search(said, line), line


def test_classes_from_a_file(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("zero\none\n")
    assert "must name each of the 10 classes of the networks, got 2 names" in refused(
        "compare", A, B, *FEW, "--classes", file
    )
    assert "`--classes`" in refused("compare", A, B, *FEW, "--classes", tmp_path / "nothing.txt")
    (tmp_path / "s.json").write_text('{"zero": "round", "cat": "animal"}')
    file.write_text("\n".join(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]))
    line = refused("compare", A, B, *FEW, "--classes", file, "--superclasses", tmp_path / "s.json")
    assert "'cat' is no class" in line


def test_other_misuse():
    assert "at least 2, got 1; for the layers of one network use nc.layers" in refused("compare", A, *FEW)
    assert "for the same classes" in refused("compare", A, "zoo:mlp(widths=[4], classes=7)", *FEW, code=1)
    assert "does not take `example`" in refused("compare", A, "zoo:mlp(widths=[4], inputs=9)", *FEW, code=1)
    assert "`memory` must hold" in refused("compare", A, B, *FEW, "--memory", "9kB")
    assert "with no match" in refused("compare", A, B, *FEW, "--layers", "stage9.*")
    assert "`--memory` must be a number of bytes" in refused("compare", A, B, *FEW, "--memory", "much")
    assert "at least 4 examples" in refused("compare", A, B, "--data", "digits(examples=3)", code=1)
