"""What a model's ``forward`` takes: how a batch is laid out for it, and what does not fit it."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from netcaliper.errors import DataError

_NEAR = 0.8
"""Likeness from which on a name that ``**kwargs`` would swallow is taken for a typo of a parameter."""


@dataclass(frozen=True)
class Form:
    """What has to be known of ``forward`` to bring a batch into its shape.

    Attributes:
        model: class of the model, for messages.
        names: parameters that can be given by position, in order.
        required: those without a default.
        keys: all that can be given by name; ``None`` if that is anything.
        shift: makes the inputs of a decoder from labels, where the model itself does so in training.
    """

    model: str = "the model"
    names: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    keys: frozenset[str] | None = None
    shift: Callable[[Tensor], Tensor] | None = None

    @property
    def inputs_required(self) -> int:
        """Number of inputs that the model cannot do without, at least one."""
        return max(1, len(self.required))

    def check(self, positional: int, keys: Iterable[str]) -> None:
        """Refuse keys that ``forward`` does not take, and a batch without what it requires.

        A name that ``**kwargs`` would take, but that is nearly that of a parameter which is missing, is refused too:
        the model would ignore it without a word.

        Args:
            positional: number of inputs without a name.
            keys: the names of the others.

        Raises:
            DataError: the message names the keys, what forward takes and the nearest name.
        """
        given, filled = list(keys), self.names[:positional]
        free = [name for name in self.names if name not in filled and name not in given]
        for key in given:
            if key in filled:
                raise DataError(
                    f"key `{key}` of the batch must not be given twice, got it by position too; drop one of the two"
                )
            near = difflib.get_close_matches(key, free, n=1, cutoff=_NEAR if self.keys is None else 0.6)
            known = key in self.names if self.keys is None else key in self.keys
            if not known and (near or self.keys is not None):
                hint = f"did you mean `{near[0]}`? Rename it" if near else "rename it"
                raise DataError(
                    f"the batch has the key `{key}`, which `forward` of {self.model} does not take (it takes "
                    f"{', '.join(self.names) or 'no inputs by name'}); {hint}, or leave it out of the batches"
                )
        missing = [name for name in self.required if name in free]
        if missing and given:
            raise DataError(
                f"the batch must have {_quoted(missing)}, which `forward` of {self.model} requires, got "
                f"{_quoted(given)}; add it, or rename the key that holds it"
            )


UNKNOWN = Form()
"""Nothing is known: one input is required, and any name may be given."""


def form_of(model: nn.Module) -> Form:
    """Read the signature of ``forward``."""
    try:
        parameters = inspect.signature(model.forward).parameters
    except (TypeError, ValueError):
        return Form(type(model).__name__)
    kinds = inspect.Parameter
    by_place = [p for p in parameters.values() if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    by_name = [p.name for p in parameters.values() if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    anything = next((p for p in parameters.values() if p.kind == kinds.VAR_KEYWORD), None)
    more = frozenset() if anything is None else _typed(anything.annotation)
    shift: Any = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    return Form(
        type(model).__name__,
        tuple(p.name for p in by_place),
        tuple(p.name for p in by_place if p.default is kinds.empty),
        None if more is None else more.union(by_name),
        shift if "decoder_input_ids" in by_name else None,
    )


def _typed(annotation: Any) -> frozenset[str] | None:
    """Return the names that ``**kwargs: Unpack[SomeTypedDict]`` stands for, ``None`` for plain ``**kwargs``."""
    of = next(iter(getattr(annotation, "__args__", ())), None)
    keys: Mapping[str, Any] | None = getattr(of, "__annotations__", None)
    return None if keys is None else frozenset(keys)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
