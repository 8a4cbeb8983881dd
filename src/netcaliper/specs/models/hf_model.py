"""``hf:NAME_OR_PATH``: a transformers model in a local folder, or in a repository of the Hugging Face hub.

Of a folder only ``config.json`` and the weights are read, the latter by ourselves: transformers is given a
configuration and tensors, never the folder, in which it would also follow adapters, pickled metadata and code.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netcaliper.errors import SpecError
from netcaliper.fit.seeds import seeded
from netcaliper.specs.call import named_call
from netcaliper.specs.extra import first_line, import_extra
from netcaliper.specs.loaded import TWIN_SEEDS, LoadedModel
from netcaliper.specs.models.hf_example import example_batch
from netcaliper.specs.models.hf_folder import local_folder
from netcaliper.specs.models.weights_file import read_weights

_FORM = "an hf spec reads `hf:NAME_OR_PATH` or `hf:NAME_OR_PATH(argument=value, ...)`"
_ARGUMENTS = ("dtype", "pretrained", "revision")
_DTYPES = ("float32", "bfloat16", "float16")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED_WEIGHTS = ("pytorch_model.bin",)


def hf_model(spec: str, weights: str | Path | None, *, trust_pickle: bool, seed: int) -> LoadedModel:
    """Build ``hf:NAME_OR_PATH(dtype=..., revision=..., pretrained=...)``.

    The class is the first of ``architectures`` in the configuration, else the plain model of its type. Weights keep the
    dtype they are stored in unless ``dtype`` is given. Code in the repository is never run.

    Raises:
        SpecError: transformers is missing, the folder or repository cannot be had, its type is unknown or needs its
            own code, or its weights are missing, pickled, quantized or incomplete.
    """
    name, arguments = named_call(spec, spec.partition(":")[2], _FORM)
    unknown = next((argument for argument in arguments if argument not in _ARGUMENTS), None)
    if unknown is not None:
        raise SpecError(f"{spec!r}: `{unknown}` is not an argument of hf specs; they take {', '.join(_ARGUMENTS)}.")
    pretrained = arguments.get("pretrained", True)
    if not isinstance(pretrained, bool):
        raise SpecError(f"{spec!r}: `pretrained` must be True or False, got {pretrained!r}.")
    wanted = arguments.get("dtype")
    if wanted is not None and wanted not in _DTYPES:
        raise SpecError(f"{spec!r}: `dtype` must be one of {', '.join(_DTYPES)}, got {wanted!r}.")
    transformers: Any = import_extra("transformers", "transformers", f"{spec!r}")
    import_extra("transformers.modeling_utils", "transformers", f"{spec!r}")
    own = pretrained and weights is None
    files = (WEIGHTS[0], *(PICKLED_WEIGHTS if trust_pickle else ())) if own else ()
    folder, called = local_folder(spec, name, arguments.get("revision"), files)
    with _quiet(transformers):
        config = _config(transformers, spec, folder)
        kind = _class(transformers, spec, config)
        dtype = getattr(torch, wanted) if wanted else None
        if own or weights is not None:
            file = _weights_file(spec, folder, trust_pickle) if weights is None else Path(weights)
            tensors = read_weights(file, trust_pickle=trust_pickle)
            model = _filled(spec, kind, config, tensors, dtype or _stored_dtype(tensors))
        else:
            model = _fresh(spec, kind, config, dtype, seed)
        kept = next((p.dtype for p in model.parameters() if p.is_floating_point()), dtype)

    def twin(seed: int) -> nn.Module:
        with _quiet(transformers):
            return _fresh(spec, kind, config, kept, TWIN_SEEDS + seed)

    facts = {"source": "hf", "folder": str(folder), "main_input": model.main_input_name}
    return LoadedModel(model, f"hf:{called}", None, twin, example_batch(model), facts)


def _config(transformers: Any, spec: str, folder: Path) -> Any:
    """Read ``config.json``, refusing what would need code or other files."""
    try:
        raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(f"{spec!r}: {str(folder)!r} is no transformers model: it has no config.json.") from error
    except (OSError, ValueError) as error:
        raise SpecError(f"{spec!r}: its config.json cannot be read: {first_line(error)}.") from error
    kind = raw.get("model_type") if isinstance(raw, dict) else None
    if not isinstance(kind, str):
        raise SpecError(f"{spec!r}: its config.json names no `model_type`, so that it is no transformers model.")
    if kind not in transformers.CONFIG_MAPPING:
        code = raw.get("auto_map")
        if code:
            listed = ", ".join(sorted({str(value) for value in code.values()})) if isinstance(code, dict) else str(code)
            raise SpecError(
                f"{spec!r}: models of type {kind!r} need code from their own repository ({listed}), which netcaliper "
                "never runs; install a package that has the class and name it: `package.module:factory --weights FILE`."
            )
        raise SpecError(
            f"{spec!r}: the installed transformers ({transformers.__version__}) knows no models of type {kind!r}; "
            "install a later one: pip install --upgrade transformers."
        )
    if raw.get("quantization_config"):
        raise SpecError(
            f"{spec!r}: its weights are quantized; netcaliper reads floating-point weights: give the repository of the "
            "original weights."
        )
    try:
        config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        config._attn_implementation = None  # a configuration may name kernels that would be downloaded and run
    except Exception as error:  # a damaged configuration may raise anything
        raise SpecError(f"{spec!r}: its config.json cannot be used: {first_line(error)}.") from error
    return config


def _class(transformers: Any, spec: str, config: Any) -> Any:
    """Return the model class that a configuration names."""
    for name in getattr(config, "architectures", None) or ():
        found = getattr(transformers, str(name), None)
        if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
            if found.config_class is not None and not isinstance(config, found.config_class):
                raise SpecError(
                    f"{spec!r}: its config.json names the class {name}, which is not of its type {config.model_type!r}."
                )
            return found
    try:
        found = transformers.MODEL_MAPPING[type(config)]
    except KeyError as error:
        raise SpecError(f"{spec!r}: transformers has no model for the type {config.model_type!r}.") from error
    return found[0] if isinstance(found, tuple) else found


def _weights_file(spec: str, folder: Path, trust_pickle: bool) -> Path:
    for name in (*WEIGHTS, *(PICKLED_WEIGHTS if trust_pickle else ())):
        if (folder / name).is_file():
            return folder / name
    pickled = next((name for name in PICKLED_WEIGHTS if (folder / name).exists()), None)
    if pickled is not None:
        raise SpecError(
            f"{spec!r} holds its weights only as {pickled}, a pickle, which can run code; convert them to safetensors, "
            "or, if you trust where they come from, add --trust-pickle (`trust_pickle=True`)."
        )
    raise SpecError(
        f"{spec!r} has no weights as safetensors ({' or '.join(WEIGHTS)}); give them with --weights FILE, add "
        "`(pretrained=False)` for an untrained network, or, if the repository holds pickled weights that you trust, "
        "add --trust-pickle."
    )


def _stored_dtype(tensors: dict[str, Tensor]) -> torch.dtype:
    """Return the floating-point dtype that holds every stored number exactly."""
    return reduce(torch.promote_types, {t.dtype for t in tensors.values() if t.is_floating_point()} or {torch.float32})


def _filled(spec: str, kind: Any, config: Any, tensors: dict[str, Tensor], dtype: torch.dtype) -> nn.Module:
    """Build the model with these tensors, all of which must be of it and all of it."""
    try:
        with seeded(0):
            model, info = kind.from_pretrained(
                None, config=config, state_dict=tensors, dtype=dtype, output_loading_info=True, local_files_only=True,
                use_safetensors=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    except Exception as error:  # a damaged configuration may raise anything
        raise SpecError(
            f"{spec!r}: {kind.__name__} cannot be built: {type(error).__name__}: {first_line(error)}"
        ) from error
    wrong = [
        f"{name!r} has shape {list(theirs)} in the file and {list(ours)} in the model"
        for name, theirs, ours in sorted(info["mismatched_keys"])
    ]
    wrong += [f"the model's {name!r} is not in the file" for name in sorted(info["missing_keys"])]
    wrong += list(info.get("error_msgs", ()))
    if wrong:
        more = f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise SpecError(
            f"{spec!r}: its weights do not fit {kind.__name__}: {'; '.join(wrong[:4])}{more}. What is not in the file "
            "would be untrained; give the weights of this architecture."
        )
    return model.eval()


def _fresh(spec: str, kind: Any, config: Any, dtype: torch.dtype | None, seed: int) -> nn.Module:
    """Build the model untrained."""
    try:
        with seeded(seed):
            return kind._from_config(deepcopy(config), dtype=dtype or torch.float32).eval()
    except Exception as error:
        raise SpecError(
            f"{spec!r}: {kind.__name__} cannot be built: {type(error).__name__}: {first_line(error)}"
        ) from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep notes and progress bars of transformers to itself: what matters of them is an error here."""
    talk = transformers.utils.logging
    level, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity(logging.CRITICAL)
    talk.disable_progress_bar()
    try:
        yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()
