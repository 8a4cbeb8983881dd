"""``timm:NAME`` and ``timm:NAME(argument=value, ...)``: models of timm, with the weights it names or a file's."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from netcaliper.errors import SpecError
from netcaliper.fit.seeds import seeded
from netcaliper.specs.call import named_call
from netcaliper.specs.extra import first_line, import_extra
from netcaliper.specs.loaded import TWIN_SEEDS, LoadedModel
from netcaliper.specs.models.hub import fetched
from netcaliper.specs.models.weights_file import fill

_FORM = "a timm spec reads `timm:NAME` or `timm:NAME(argument=value, ...)`, e.g. `timm:resnet18(pretrained=False)`"


def timm_model(spec: str, weights: str | Path | None, *, trust_pickle: bool, seed: int) -> LoadedModel:
    """Build ``timm:NAME(argument=value, ...)``.

    ``pretrained=True`` is the default: timm downloads the weights that its name stands for, or takes them from its
    cache. With ``weights``, or ``pretrained=False``, nothing is downloaded.

    Raises:
        SpecError: timm is missing, has no such model, does not take an argument, or its weights cannot be had.
    """
    name, arguments = named_call(spec, spec.partition(":")[2], _FORM)
    timm: Any = import_extra("timm", "timm", f"{spec!r}")
    _check_name(timm, spec, name)
    pretrained = arguments.pop("pretrained", weights is None)
    if not isinstance(pretrained, bool):
        raise SpecError(f"{spec!r}: `pretrained` must be True or False, got {pretrained!r}.")

    def fresh(seed: int) -> Any:
        with _quiet(), seeded(seed):
            try:
                return timm.create_model(name, pretrained=False, **arguments).eval()
            except Exception as error:  # timm hands arguments on to the model, which may raise anything
                words = f"{type(error).__name__}: {first_line(error)}"
                raise SpecError(f"{spec!r}: timm cannot build it: {words}") from error

    if pretrained and weights is None:
        model = _pretrained(timm, spec, name, arguments, fresh)
    else:
        model = fresh(seed)
        if weights is not None:
            fill(model, weights, trust_pickle=trust_pickle)
    facts = _data_config(timm, model, arguments)
    return LoadedModel(
        model, spec, facts["input_size"], lambda seed: fresh(TWIN_SEEDS + seed), None, {"source": "timm"} | facts
    )


def _data_config(timm: Any, model: nn.Module, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return how timm prepares images for a model, at the size and channels that the spec asked for.

    timm names mean and standard deviation of three channels; another number of channels gets their average.
    """
    facts = timm.data.resolve_model_data_config(model)
    channels, *sides = facts["input_size"]
    size = arguments.get("img_size")
    sides = sides if size is None else [size, size] if isinstance(size, int) else size
    asked = arguments.get("in_chans") or channels
    if asked != channels:
        facts |= {name: (sum(facts[name]) / len(facts[name]),) * asked for name in ("mean", "std")}
    return facts | {"input_size": (asked, *sides)}


def _check_name(timm: Any, spec: str, name: str) -> None:
    architecture = name.partition(".")[0]
    if ":" in name or timm.is_model(architecture):  # `hf-hub:` and `local-dir:` are timm's own words
        if "." in name and ":" not in name and name not in timm.list_models(f"{architecture}.*", pretrained=True):
            tags = timm.list_models(f"{architecture}.*", pretrained=True)
            hint = f"its weights are {', '.join(tags)}" if tags else "timm has no weights for it"
            raise SpecError(f"{spec!r}: timm has no weights {name!r}; {hint}.")
        return
    near = get_close_matches(architecture, timm.list_models(), n=3)
    hint = f"did you mean {', '.join(f'`timm:{n}`' for n in near)}?" if near else "`timm.list_models()` lists them."
    raise SpecError(f"{spec!r}: timm has no model {architecture!r}; {hint}")


def _pretrained(timm: Any, spec: str, name: str, arguments: dict[str, Any], fresh: Callable[[int], Any]) -> nn.Module:
    facts = fresh(0).pretrained_cfg  # also says what is wrong with the arguments, before anything is downloaded
    repository, place = facts.get("hf_hub_id"), facts.get("url") or facts.get("file")
    if not repository and not place:
        raise SpecError(f"{spec!r}: timm has no weights for it; add `pretrained=False`, or --weights FILE.")
    stored, asked = facts.get("num_classes"), arguments.get("num_classes")
    if asked and stored is not None and asked != stored:
        raise SpecError(
            f"{spec!r}: `num_classes` = {asked}, but its weights have {stored} classes, so that the classifier would "
            "be untrained; give weights of this size with --weights FILE, or leave `num_classes` out."
        )
    overlay = {}
    if repository and ":" not in name:  # timm itself would ask the hub for minutes before it gives up
        overlay = {"file": str(_fetched(spec, repository, facts.get("hf_hub_filename")))}
    try:
        with _quiet(), seeded(0):
            return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments).eval()
    except Exception as error:
        raise SpecError(
            f"{spec!r}: its weights were to be loaded from {repository or place}, which failed "
            f"({type(error).__name__}: {first_line(error)}); {_INSTEAD}."
        ) from error


_INSTEAD = "give its weights with --weights FILE, or add `pretrained=False` for an untrained network"


def _fetched(spec: str, repository: str, file: str | None) -> Path:
    for name in [file] if file else ["model.safetensors", "pytorch_model.bin"]:
        found = fetched(spec, repository, [name], extra="timm", instead=_INSTEAD) / name
        if found.is_file():
            return found
    raise SpecError(f"{spec!r}: the repository {repository!r} holds no weights that timm reads; {_INSTEAD}.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep timm's notes to itself: what matters of them is an error here."""
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
