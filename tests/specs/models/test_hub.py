"""The hub fails fast and in words; none of these tests leaves this machine."""

import socket
import time
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import errors

from netcaliper.errors import SpecError
from netcaliper.specs.models import hub


def fetch(**options):
    return hub.fetched(
        "hf:some/model", "some/model", ["config.json"], extra="transformers", instead="give a folder", **options
    )


def failing(monkeypatch, error, moment):
    """Let the question to the hub fail, or the download after it."""

    def raises(*_, **__):
        raise error

    if moment == "question":
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", raises)
    else:
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(sha="v9"))
        monkeypatch.setattr(huggingface_hub, "snapshot_download", raises)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


SAID = {
    errors.GatedRepoError: "'some/model' is gated; accept its terms .* `hf auth login`, or give a folder.",
    errors.RepositoryNotFoundError: "the hub has no repository 'some/model' that you may read; check the name",
    errors.RevisionNotFoundError: "'some/model' has no revision 'v9'; give a branch, tag or commit",
}


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize("moment", ["question", "download"])
def test_what_the_hub_says_is_said(kind, moment, monkeypatch):
    error = kind.__new__(kind)  # its __init__ wants a response of the transport
    if moment == "download":
        outer = errors.LocalEntryNotFoundError("not in the cache")
        outer.__cause__ = error
        error = outer
    failing(monkeypatch, error, moment)
    with pytest.raises(SpecError, match=SAID[kind]):
        fetch(revision="v9")


@pytest.mark.parametrize(
    "error",
    [errors.OfflineModeIsEnabled("offline mode"), errors.LocalEntryNotFoundError("nothing"), OSError("disk")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("moment", ["question", "download"])
@pytest.mark.usefixtures("empty_cache")
def test_what_fails_otherwise_names_the_download_and_the_remedy(error, moment, monkeypatch):
    failing(monkeypatch, error, moment)
    words = (
        f"hf:some/model': 'some/model' was to be downloaded from the Hugging Face hub, which failed .{error}., and the "
        r"local cache does not have it; fetch it where there is a network \(`hf download some/model`\), or give a fol"
    )
    with pytest.raises(SpecError, match=words):
        fetch()


@pytest.mark.usefixtures("empty_cache")
def test_offline_mode_asks_nobody(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SpecError, match="which failed .*, and the local cache does not have it"):
        fetch()


@pytest.fixture
def silent_hub(monkeypatch):
    """A hub that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(hub, "SECONDS", 0.5)
        yield


@pytest.mark.usefixtures("silent_hub", "empty_cache")
def test_a_silent_hub_does_not_hold_the_user_up():
    start = time.monotonic()
    with pytest.raises(SpecError, match="was to be downloaded"):
        fetch()
    assert time.monotonic() - start < 10


@pytest.mark.usefixtures("silent_hub")
def test_the_cache_stands_in_for_a_silent_hub(empty_cache):
    commit = "a" * 40
    folder = empty_cache / "models--some--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "snapshots" / commit / "config.json").write_text("{}")
    assert fetch() == Path(folder / "snapshots" / commit)
