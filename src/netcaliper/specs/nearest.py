"""A file or folder that a spec names; where it is missing, the nearest one that is there."""

from difflib import get_close_matches
from pathlib import Path

from netcaliper.errors import SpecError


def existing(path: Path, name: str, *, folder: bool) -> Path:
    """Return ``path`` if it is there.

    Raises:
        SpecError: it is not, or is of the other kind; the message names a similar neighbor.
    """
    try:
        there = path.is_dir() if folder else path.is_file()
        other = path.exists()
    except (OSError, ValueError):  # a name that no file can have
        there = other = False
    if there:
        return path
    kind = "folder" if folder else "file"
    if other:
        raise SpecError(f"`{name}`: {str(path)!r} is not a {kind}; name a {kind}.")
    try:
        beside = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        beside = []
    near = get_close_matches(path.name, beside, n=1)
    hint = f"did you mean {str(path.parent / near[0])!r}?" if near else "check the path."
    raise SpecError(f"`{name}`: there is no {kind} {str(path)!r}; {hint}")
