"""A folder that is there is taken as it is; anything else must be the name of a repository."""

import pytest

from netcaliper.errors import SpecError
from netcaliper.specs.models import hf_folder
from netcaliper.specs.models.hf_folder import local_folder


def test_a_folder_is_called_by_its_own_name(tmp_path, monkeypatch):
    folder = tmp_path / "a" / "my model"
    folder.mkdir(parents=True)
    with pytest.raises(SpecError, match="is no transformers model: it has no config.json"):
        local_folder("hf:x", str(folder), None, ())
    (folder / "config.json").write_text("{}")
    assert local_folder("hf:x", str(folder), None, ()) == (folder, "my model")
    monkeypatch.chdir(folder)
    assert local_folder("hf:.", ".", None, ())[1] == "my model"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_folder("hf:x", "~/a/my model", None, ())[0] == folder
    with pytest.raises(SpecError, match=r"`revision` = 'main' is for repositories"):
        local_folder("hf:x", str(folder), "main", ())


@pytest.mark.parametrize("name", ["", "no/such/folder", "/no", "./no", "../no", "a b", "-x", "a/b/c", "a\\b", "a:b"])
def test_what_is_neither(name):
    with pytest.raises(SpecError, match=r"no name of a repository \(`owner/name`\)"):
        local_folder("hf:x", name, None, ())


def test_only_what_is_needed_is_fetched(tmp_path, monkeypatch):
    asked = {}

    def fetched(spec, name, patterns, **options):
        asked.update(options, name=name, patterns=set(patterns))
        return tmp_path

    monkeypatch.setattr(hf_folder, "fetched", fetched)
    assert local_folder("hf:x", "owner/name", "v1", ("model.safetensors",)) == (tmp_path, "owner/name")
    small = {"*.json", "*.txt", "*.model"}
    assert asked["patterns"] == small | {"model.safetensors", "model-*.safetensors"}
    assert (asked["name"], asked["revision"], asked["extra"]) == ("owner/name", "v1", "transformers")
    local_folder("hf:x", "gpt2", None, ())
    assert asked["patterns"] == small
    with pytest.raises(SpecError, match="`revision` must be a string"):
        local_folder("hf:x", "owner/name", 3, ())
