"""Files of a repository on the Hugging Face hub, fetched into the cache of its client."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from netcaliper.errors import SpecError
from netcaliper.specs.extra import first_line, import_extra

SECONDS = 10.0
"""How long the hub may take to answer before the local cache is asked instead."""


def fetched(
    spec: str, repository: str, patterns: Iterable[str], *, extra: str, revision: str | None = None, instead: str
) -> Path:
    """Return a folder with the files of a repository, from the cache where the hub cannot be reached.

    Args:
        spec: the whole spec, for messages.
        repository: its name.
        patterns: names of the files, with wildcards; those that the repository does not have are left out.
        extra: that brings the hub's client.
        revision: branch, tag or commit.
        instead: what the user may do without the hub, for messages.

    Raises:
        SpecError: the repository is gated, is not there or has no such revision, or it can neither be reached nor is
            in the cache.
    """
    hub: Any = import_extra("huggingface_hub", extra, f"{spec!r}")
    said = (hub.errors.RepositoryNotFoundError, hub.errors.RevisionNotFoundError)  # the former covers gated ones
    unreached: Exception | None = None
    try:
        try:
            # One question with a time limit first: the client's own download waits for a silent hub without end.
            revision = hub.HfApi().model_info(repository, revision=revision, timeout=SECONDS).sha
        except said:
            raise
        except Exception as error:  # whatever the client's transport raises
            unreached = error
        return Path(
            hub.snapshot_download(
                repository,
                revision=revision,
                allow_patterns=sorted(set(patterns)),
                local_files_only=unreached is not None,
            )
        )
    except Exception as error:
        cause = error if unreached is None else unreached
        raise SpecError(f"{spec!r}: {_why(hub.errors, repository, revision, cause)}, or {instead}.") from error


def _why(errors: Any, repository: str, revision: str | None, error: Exception) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, errors.GatedRepoError):
            return f"{repository!r} is gated; accept its terms on the hub's page of it and log in with `hf auth login`"
        if isinstance(seen, errors.RevisionNotFoundError):
            return f"{repository!r} has no revision {revision!r}; give a branch, tag or commit that it has"
        if isinstance(seen, errors.RepositoryNotFoundError):
            return (
                f"the hub has no repository {repository!r} that you may read; check the name, log in with "
                "`hf auth login` if it is private"
            )
        seen = seen.__cause__ or seen.__context__
    words = first_line(error).rstrip(".")
    return (
        f"{repository!r} was to be downloaded from the Hugging Face hub, which failed ({words}), and the local cache "
        f"does not have it; fetch it where there is a network (`hf download {repository}`)"
    )
