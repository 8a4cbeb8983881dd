"""Which activation call is running: a key that also holds when a block is computed again in the backward pass.

Every module on the way to an activation call gets a :class:`Framed` as its ``forward``, which opens a frame around the
module's own. The key of a call is the path of module calls (module, how many calls of it came before in the parent's
frame), the function, and how many calls of that function came before in the frame. Activation checkpointing calls a
block again without its parents: then the block's path is the only one that is known for it.

While a frame is open a ``TorchFunctionMode`` sees every function call. Everything is an instance of a class of this
file, so that a bent model can be copied and pickled.
"""

import contextlib
import inspect
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch.utils.checkpoint
from torch import nn
from torch.overrides import TorchFunctionMode

from netcaliper.bending.functions import activation_name
from netcaliper.errors import InputError

Path = tuple[tuple[str, int], ...]
"""Module calls from the root down: name of the module, and how many calls of it came before in the same frame."""

WHOLE = "forward"
"""Stands for the function where a module's forward as a whole is the activation."""


Bender = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Computes one activation call: takes the function, its arguments, and returns what the call returns."""


@runtime_checkable
class Recorder(Protocol):
    """Is told of every activation call while a model is read."""

    def open(self, module: "Framed", path: Path) -> None:
        """Note a module call."""
        ...

    def call(
        self, module: "Framed", path: Path, name: str, number: int, function: Callable[..., Any],
        args: tuple[Any, ...], kwargs: dict[str, Any],
    ) -> Any:  # fmt: skip
        """Note an activation call, and return what it returns."""
        ...


@dataclass
class Reading:
    """What the frames of one model share: who listens, if anybody."""

    recorder: Recorder | None = None


@dataclass
class Frame:
    """One running call of a module."""

    module: "Framed"
    path: Path
    counts: Counter[str] = field(default_factory=Counter)

    def number(self, of: str) -> int:
        """Count a call and return how many of its kind came before."""
        self.counts[of] += 1
        return self.counts[of] - 1


class _Frames(threading.local):
    """The open frames of this thread: a block is computed again in a thread of the backward pass, on its own."""

    def __init__(self) -> None:
        self.open: list[Frame] = []
        self.watched = 0


_FRAMES = _Frames()


class Framed:
    """The ``forward`` of a module of a bent model: the module's own, in a frame.

    Attributes:
        calls: for every known path of the module, what computes its activation calls, by function and number;
            ``None`` for a call that stays as it is.
    """

    def __init__(self, module: nn.Module, name: str, reading: Reading) -> None:
        """Wrap the forward of ``module``, which is called ``name`` in the model."""
        self.module = module
        self.name = name
        self.reading = reading
        self.inner = module.__dict__.get("forward")
        self.calls: dict[Path, dict[tuple[str, int], Bender | None]] = {}

    @property
    def __signature__(self) -> inspect.Signature:
        """What libraries read to learn which inputs a model takes."""
        return inspect.signature(self.own)

    @property
    def own(self) -> Callable[..., Any]:
        """The module's own forward."""
        return self.inner or type(self.module).forward.__get__(self.module)

    def install(self) -> None:
        """Become the module's forward."""
        self.module.__dict__["forward"] = self

    def remove(self) -> None:
        """Give the module its own forward back."""
        del self.module.__dict__["forward"]
        if self.inner is not None:
            self.module.__dict__["forward"] = self.inner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module's own forward in a frame."""
        frames = _FRAMES.open
        frame = Frame(self, self._path(frames))
        recorder = self.reading.recorder
        if recorder is not None:
            recorder.open(self, frame.path)
        frames.append(frame)
        depth = len(frames)
        try:
            forward = self._forward(frame)
            unwatched = _FRAMES.watched or (recorder is None and not any(self.calls[frame.path].values()))
            with contextlib.nullcontext() if unwatched else _Watch():
                return forward(*args, **kwargs)
        finally:
            del frames[depth - 1 :]

    def _forward(self, frame: Frame) -> Callable[..., Any]:
        """Return what computes the module: its own forward, or what bends it as a whole."""
        recorder = self.reading.recorder
        if recorder is not None:
            return partial(_recorded, recorder, frame) if self._is_bare() else self.own
        if frame.path not in self.calls:
            self._refuse(frame)
        bender = self.calls[frame.path].get((WHOLE, 0))
        return self.own if bender is None else partial(_bent, bender, self.own)

    def _is_bare(self) -> bool:
        """Tell whether the module has neither children nor weights: then it may be an activation as a whole."""
        return not self.module._modules and not self.module._parameters

    def _path(self, frames: list[Frame]) -> Path:
        if not self.name:
            return ()
        if frames and frames[-1].module.reading is self.reading:
            parent = frames[-1].path
            number = frames[-1].number(self.name)
            path = (*parent, (self.name, number))
            # a checkpointed sequence calls the blocks of a container without the container
            inside = [known for known in self.calls if known[: len(parent)] == parent]
            return inside[0] if path not in self.calls and len(inside) == 1 and number == 0 else path
        if len(self.calls) > 1:
            raise InputError(
                f"module `{self.name}` must be called through `model`, got a call of it alone (activation "
                f"checkpointing does so), and it stands at {len(self.calls)} places of the network; checkpoint the "
                "module that calls it, or give every place a module of its own"
            )
        return next(iter(self.calls), ())

    def _refuse(self, frame: Frame) -> None:
        raise InputError(
            f"module `{self.name}` must be called as often, and from where, as when the model was read; got call "
            f"{frame.path[-1][1] + 1 if frame.path else 1} of it in `{_words(frame.path[:-1])}`; make a Bending of an "
            "`example` that takes the same way through the model"
        )


_CALL = inspect.unwrap(Framed.__call__).__code__


def _words(path: Path) -> str:
    return path[-1][0] if path and path[-1][0] else "the model"


def _recorded(recorder: Recorder, frame: Frame, *args: Any, **kwargs: Any) -> Any:
    return recorder.call(frame.module, frame.path, WHOLE, 0, frame.module.own, args, kwargs)


def _bent(bender: Bender, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return bender(own, args, kwargs)


class _Watch(TorchFunctionMode):
    """Sees the function calls of the innermost frame."""

    def __enter__(self) -> "_Watch":
        _FRAMES.watched += 1
        return super().__enter__()

    def __exit__(self, *failure: Any) -> None:
        _FRAMES.watched -= 1
        super().__exit__(*failure)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = activation_name(func)
        if name is None or not _FRAMES.open:
            return func(*args, **kwargs)
        frame = _FRAMES.open[-1]
        module, number = frame.module, frame.number(name + "()")
        recorder = module.reading.recorder
        if recorder is not None:
            return recorder.call(module, frame.path, name, number, func, args, kwargs)
        calls = module.calls[frame.path]
        bender = calls.get((name, number))
        if bender is None:
            if (name, number) not in calls and any(known == name and calls[known, n] for known, n in calls):
                raise InputError(
                    f"`{module.name or 'the model'}` must call {name} as often as when the model was read, got call "
                    f"{number + 1}; make a Bending of an `example` that takes the same way through the model"
                )
            return func(*args, **kwargs)
        _check_recomputable(frame, name)
        return bender(func, args, kwargs)


def _check_recomputable(frame: Frame, name: str) -> None:
    """Refuse a call in a function that is checkpointed: computed again, it would be outside of every frame.

    Raises:
        InputError: the call is inside ``torch.utils.checkpoint`` and its module is outside.
    """
    caller = sys._getframe(1)
    while caller is not None and caller.f_code is not _CALL:
        if caller.f_code.co_filename == torch.utils.checkpoint.__file__:
            raise InputError(
                f"{name} in `{frame.module.name or 'the model'}` must not be inside a function that is checkpointed, "
                "which is computed again outside of the module; checkpoint the module, or make the function one"
            )
        caller = caller.f_back
