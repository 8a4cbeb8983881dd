"""``FILE.pt2``: an archive of ``torch.export.save``.

Reading one can run code, in more than one way: ``torch.export.load`` unpickles without restrictions the sample inputs
that it first failed to unpickle safely, unpickles tensors and objects that the archive marks as pickled, evaluates
symbolic shapes as Python expressions, looks operators up by dotted names below ``torch``, and loads compiled libraries.
So an archive is refused unless its source is trusted.
"""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from netcaliper.errors import SpecError
from netcaliper.specs.extra import first_line
from netcaliper.specs.loaded import LoadedModel


def pt2_model(spec: str, weights: str | Path | None, *, trust_pickle: bool) -> LoadedModel:
    """Load an exported program as a module.

    Its mode was fixed when it was exported, so that one exported in train mode is refused. It has no twin of its own:
    an archive does not say how its weights were drawn.

    Raises:
        SpecError: there is no such file, it is not trusted, cannot be loaded, was exported in train mode, or weights
            are given beside it.
    """
    file = Path(spec)
    if not file.is_file():
        raise SpecError(f"`model` = {spec!r}: there is no such file.")
    if weights is not None:
        raise SpecError(f"`weights`: the archive {file.name!r} holds its own weights; leave `weights` out.")
    if not trust_pickle:
        raise SpecError(
            f"`model` = {spec!r} is refused: reading a .pt2 archive can run any code that it holds (pickled inputs, "
            "expressions, compiled libraries). If you trust where it comes from, add --trust-pickle "
            "(`trust_pickle=True`); or give `package.module:factory --weights FILE.safetensors`."
        )
    program, module = _loaded(file)
    random = _train_mode(program)
    if random is not None:
        raise SpecError(
            f"`model` = {spec!r} was exported in train mode (its operation {random!r} says so), which is fixed in the "
            "archive; call `model.eval()` before `torch.export.export`."
        )
    return LoadedModel(module, file.name, example_batch=_example_batch(program))


def _loaded(file: Path) -> tuple[ExportedProgram, nn.Module]:
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(file)
            return program, _module(program)
    except Exception as error:  # a damaged archive may raise anything
        raise SpecError(
            f"`model` = {str(file)!r} cannot be loaded as an archive of torch.export ({type(error).__name__}: "
            f"{first_line(error)}); was it written by `torch.export.save`, with this version of torch "
            f"({torch.__version__})?"
        ) from error
    finally:
        logger.setLevel(level)


def _module(program: ExportedProgram) -> nn.Module:
    module = program.module()
    if not _dynamic_batch(program):
        free = _any_batch(program)
        module = free if free is not None else module
    for part in module.modules():
        part.training = False  # the graph does not read it, and `eval()` of an exported module raises
    return module


def _dynamic_batch(program: ExportedProgram) -> bool:
    names = set(program.graph_signature.user_inputs)
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    return any(isinstance(v, Tensor) and v.dim() > 0 and isinstance(v.shape[0], torch.SymInt) for v in values)


def _any_batch(program: ExportedProgram) -> nn.Module | None:
    """Return the module without the check of its batch size, if it needs none.

    Without dynamic shapes an archive is bound to the batch size it was exported with, mostly for no other reason than
    this check. It is dropped if two examples get the same outputs alone, together, and in the archive's own batch.
    """
    inputs = _example_inputs(program)
    if inputs is None:
        return None
    args, kwargs = inputs
    module = program.module(check_guards=False)
    module._forward_pre_hooks.clear()
    leaves, spec = pytree.tree_flatten((args, kwargs))
    size = leaves[0].shape[0] if leaves[0].dim() else 0
    if size == 0 or any(leaf.dim() == 0 or leaf.shape[0] != size for leaf in leaves):
        return None
    if size == 1:  # the other example: the same numbers in another order
        leaves = [torch.cat([leaf, leaf.flip(-1)]) for leaf in leaves]

    def outputs(run: nn.Module, rows: slice) -> list[Tensor]:
        args, kwargs = pytree.tree_unflatten([leaf[rows] for leaf in leaves], spec)
        with torch.no_grad():
            return [leaf for leaf in pytree.tree_leaves(run(*args, **kwargs)) if isinstance(leaf, Tensor)]

    try:
        first, second, both = (outputs(module, rows) for rows in (slice(0, 1), slice(1, 2), slice(0, 2)))
        bound = outputs(program.module(), slice(0, size))
        same = all(
            torch.allclose(torch.cat([a, b]), c, rtol=1e-4, atol=1e-5) and torch.allclose(c[:size], d[:2], 1e-4, 1e-5)
            for a, b, c, d in zip(first, second, both, bound, strict=True)
        )
    except Exception:  # the batch size is written into the graph: whatever operation trips over it
        return None
    return module if same else None


def _train_mode(program: ExportedProgram) -> str | None:
    """Return the name of an operation that was told to behave as in training."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        for place, argument in enumerate(schema.arguments if schema is not None else ()):
            if argument.name in ("train", "training"):
                value = node.args[place] if place < len(node.args) else node.kwargs.get(argument.name)
                if value is True:
                    return node.name
    return None


def _example_inputs(program: ExportedProgram) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return the inputs that the archive was exported with, if they are there and all tensors."""
    if program.example_inputs is None:
        return None
    args, kwargs = program.example_inputs
    leaves = pytree.tree_leaves((args, kwargs))
    return (args, kwargs) if leaves and all(isinstance(leaf, Tensor) for leaf in leaves) else None


def _example_batch(program: ExportedProgram) -> Callable[[], Any] | None:
    inputs = _example_inputs(program)
    if inputs is None or (inputs[0] and inputs[1]):
        return None
    args, kwargs = inputs
    if kwargs:
        return lambda: {name: value.clone() for name, value in kwargs.items()}
    return lambda: args[0].clone() if len(args) == 1 else tuple(value.clone() for value in args)
