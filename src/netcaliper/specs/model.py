"""What a model spec stands for.

=============================  ===================================================================
``zoo:NAME(argument=value)``   a network of the zoo, untrained or with ``weights``
a folder                       a checkpoint that ``netcaliper train`` wrote
``timm:NAME(argument=value)``  a model of timm, with the weights it names or with ``weights``
``hf:NAME_OR_PATH``            a transformers model: a local folder, or a repository of the hub
``FILE.pt2``                   an archive of ``torch.export.save``
``package.module:factory``     what this function returns, with ``weights`` filled in
=============================  ===================================================================
"""

import os
from difflib import get_close_matches
from pathlib import Path

from netcaliper.errors import SpecError
from netcaliper.specs.factory import is_factory
from netcaliper.specs.loaded import LoadedModel
from netcaliper.specs.models.factory_model import factory_model
from netcaliper.specs.models.hf_model import hf_model
from netcaliper.specs.models.pt2_model import pt2_model
from netcaliper.specs.models.timm_model import timm_model
from netcaliper.specs.models.weights_file import PICKLED
from netcaliper.specs.models.zoo_model import checkpoint_model, zoo_model
from netcaliper.zoo.models import ZOO

MODEL_SPECS = (
    "`zoo:NAME(argument=value, ...)`, a checkpoint folder, `timm:NAME`, `hf:NAME_OR_PATH`, `FILE.pt2`, "
    "`package.module:factory`"
)

_SOURCES = {"zoo": zoo_model, "timm": timm_model, "hf": hf_model}
_ALIASES = {"huggingface": "hf", "transformers": "hf"}


def load_model(
    spec: str, weights: str | Path | None = None, *, trust_pickle: bool = False, seed: int = 0
) -> LoadedModel:
    """Build the model that ``spec`` stands for.

    One command gives one model: what is drawn is drawn from ``seed`` (a factory is called with torch seeded to 0), and
    random state is left as it was.

    Args:
        spec: one of the forms at the top of this file.
        weights: file to fill the model with: safetensors (one file, or the index of its shards), or the state dict of
            a ``.pt``, ``.pth``, ``.bin`` or ``.ckpt``, which is read without running anything in it. Checkpoint folders
            and archives hold their own.
        trust_pickle: also read what can run code when it is read: pickles beyond plain tensors, and ``.pt2``.
        seed: of the initial weights of an untrained ``zoo:``, ``timm:`` or ``hf:`` model.

    Raises:
        SpecError: the spec cannot be resolved, the weights do not fit or are refused, a library is missing or a
            download failed; the message says which, and the remedy or the nearest name.
        CorruptReading: a checkpoint folder is damaged.
        NewerSchema: a checkpoint folder was written by a later netcaliper.
    """
    prefix, colon, rest = spec.partition(":")
    if colon and prefix in _SOURCES:
        return _SOURCES[prefix](spec, weights, trust_pickle=trust_pickle, seed=seed)
    if os.path.isdir(spec):  # unlike Path.is_dir, it answers for a spec that can be no path at all
        return checkpoint_model(Path(spec), weights)
    if spec.endswith(".pt2"):
        return pt2_model(spec, weights, trust_pickle=trust_pickle)
    if spec.lower().endswith((*PICKLED, ".safetensors", ".safetensors.index.json")):
        raise SpecError(
            f"`model` = {spec!r} is a file of weights, which says nothing of the network they belong to; name the "
            f"function that builds it: `package.module:factory --weights {Path(spec).name}` (`zoo:`, `timm:` and "
            "`hf:` specs take --weights, too)."
        )
    near = _nearest(spec, prefix, rest)
    if is_factory(spec):
        try:
            return factory_model(spec, weights, trust_pickle=trust_pickle)
        except SpecError as error:
            if near is None or "there is no module" not in str(error):
                raise
            raise SpecError(f"{error} Did you mean `{near}`?") from error
    hint = f"did you mean `{near}`? Supported" if near is not None else "supported"
    raise SpecError(f"`model` = {spec!r} is not a model spec or an existing folder; {hint} are {MODEL_SPECS}.")


def _nearest(spec: str, prefix: str, rest: str) -> str | None:
    """Return the spec that was probably meant."""
    if rest:
        word = prefix.strip().lower()
        match = _ALIASES.get(word) or next(iter(get_close_matches(word, _SOURCES, n=1, cutoff=0.5)), None)
        return f"{match}:{rest.strip()}" if match and "." not in prefix else None
    name = spec.strip().partition("(")[0]
    if name in ZOO:
        return f"zoo:{spec.strip()}"
    parts = name.split("/")
    if len(parts) == 2 and parts[0] in _SOURCES:
        return ":".join(parts)
    if len(parts) == 2 and all(part and part[0].isalnum() for part in parts):
        return f"hf:{spec.strip()}"
    if name.replace("_", "").replace(".", "").isalnum() and any(letter.isdigit() for letter in name) and len(name) < 80:
        return f"timm:{spec.strip()}"
    return None
