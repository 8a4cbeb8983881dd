"""The traced network: sites and what reads them, running with taps and overrides, forks."""

import copy
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from netcaliper.errors import DataError, InputError, NetcaliperError
from netcaliper.trace.axes import batch_axis, batch_sizes, by_example, example_axis, input_shapes
from netcaliper.trace.batches import Batch, as_batch
from netcaliper.trace.dimensions import structure_of
from netcaliper.trace.export import Exported
from netcaliper.trace.form import Form
from netcaliper.trace.groups import Group
from netcaliper.trace.padding import Padding
from netcaliper.trace.program import Program
from netcaliper.trace.site import Site
from netcaliper.trace.state import fitted
from netcaliper.trace.structure import Structure

Override = Tensor | Callable[[Tensor], Tensor]
Tap = Callable[..., None]

NODE = "%"
"""Before the name of a node where it stands for a value: a site may have the same name (``relu``), and be another."""


@dataclass(frozen=True)
class Run:
    """What one run returned.

    Attributes:
        output: the model's output, in the model's own structure.
        forks: for every forked site the outputs under its overrides.
    """

    output: Any
    forks: dict[str, list[Any]] = field(default_factory=dict)


class Graph:
    """A traced network. Made by :func:`netcaliper.trace`; the model itself is only read."""

    def __init__(
        self,
        *,
        name: str,
        model: nn.Module,
        exported: Exported,
        program: Program,
        sites: Sequence[Site],
        skipped: Sequence[tuple[str, str]],
        groups: Sequence[Group],
        device: torch.device,
        form: Form,
    ) -> None:
        """Hold what the trace found (see ``trace.py``)."""
        self.name = name
        self.model = model
        """The traced module. What runs is the graph's own weights, which are the module's unless ``with_state`` set
        others."""
        self.sites = tuple(sites)
        self.skipped = tuple(skipped)
        self.groups = tuple(groups)
        self.device = device
        self.form = form
        self.program = program
        self.exported = exported
        """What torch made of the model; ``with_state`` leaves it as it is."""
        self.example = exported.batch
        self.dynamic_batch = exported.batch_symbol is not None
        self.static_reason = exported.static_reason
        self.replay: dict[str, float] = {}
        """Largest absolute difference to the model's own outputs, by what was replayed."""
        self._site = {site.name: site for site in self.sites}
        self._shapes = input_shapes(exported.program)
        self._examples = batch_sizes(self._shapes)
        self._nodes = {node.name: node for node in exported.program.graph.nodes}
        self.padding = Padding(exported.program, exported.batch)

    @cached_property
    def structure(self) -> Structure:
        """What must be cut together, found in a pass over the example when it is asked for first."""
        example = self.example.first(2) if self.dynamic_batch else self.example
        return structure_of(self.model, self.exported, self.inputs(example), self.sites)

    @property
    def traced_batch(self) -> int:
        """Batch size of the example that was traced."""
        return self.example.size

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the first floating-point weight (of the example if the model has none)."""
        tensors = [self.program.fixed(name) for name in self.program.parameters] + self.example.tensors()
        return next((t.dtype for t in tensors if isinstance(t, Tensor) and t.is_floating_point()), torch.float32)

    def batch_axis(self, node: str, column_axis: int) -> int:
        """Return the axis of a node's value whose size goes with the batch; not that of its columns."""
        return batch_axis(self._nodes[node], column_axis, self._examples, self.traced_batch)

    def example_axis(self, node: str) -> int | None:
        """Return the axis of a node's value along which the examples lie in order, ``None`` if there is none."""
        return example_axis(self._nodes[node], self._examples, self.traced_batch)

    def by_example(self, node: str, axis: int) -> bool:
        """Tell whether the rows along the batch axis of a node's value lie example by example."""
        return by_example(self._nodes[node], axis, self._examples)

    def valid(self, site: Site, batch: Batch, value: Tensor) -> Bool[Tensor, "examples positions"] | str | None:
        """Return which positions of a site's value are no padding, as ``Padding.valid`` tells it."""
        found = self.padding.valid(batch, site.node, site.axis, site.batch_axis, value.shape)
        return found.to(value.device) if isinstance(found, Tensor) else found

    def input(self, batch: Batch, name: str) -> Tensor:
        """Return one of the tensors of a batch by the name of its placeholder."""
        return dict(zip(self.program.user_inputs, self.inputs(batch), strict=True))[name]

    def site(self, name: str) -> Site:
        """Return a site by name.

        Raises:
            InputError: there is no such site; the message names the nearest.
        """
        if name in self._site:
            return self._site[name]
        near = difflib.get_close_matches(name, self._site, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise InputError(f"`site` {name!r} is not one of the {len(self.sites)} sites of {self.name}{hint}")

    def with_state(self, state: Mapping[str, Tensor]) -> "Graph":
        """Return the same traced structure over other weights, without exporting again; this graph stays as it is.

        Args:
            state: parameters and buffers by state-dict name, e.g. ``other.state_dict()``. Non-persistent buffers and
                constants, which a state dict does not hold, may be given by the name of their attribute; otherwise they
                stay. The tensors are not copied, except to the graph's device.

        Raises:
            InputError: a name is missing or unknown, a shape or dtype differs, a value is not finite, or weights that
                the graph ties differ; the message names the first.
        """
        other = copy.copy(self)
        other.program = self.program.over(fitted(self.program, state, self.device))
        other.replay = {}
        return other

    def calling(self, targets: Mapping[str, Callable[..., Any]]) -> "Graph":
        """Return the same graph with some nodes computed otherwise, by a function of the arguments of the operation."""
        other = copy.copy(self)
        other.program = self.program.calling(targets)
        return other

    def run(
        self,
        batch: Any,
        *,
        taps: Mapping[str, Tap] | None = None,
        overrides: Mapping[str, Override] | None = None,
        forks: Mapping[str, Sequence[Override]] | None = None,
        watch: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Run:
        """Run the network once.

        Args:
            batch: a batch as a loader yields it (labels are ignored).
            taps: for a site (or ``%node`` of the graph) a function that is called with its value, then its
                pre-activations, as soon as the value exists. A site and its node may both have one. Tensors are valid
                during the call only; copy what must be kept.
            overrides: for a site (or node) the value that replaces its own, or a function from its value to another
                one.
            forks: for a site (or node) a list of overrides; the part of the network that depends on the site is
                replayed under each, which costs only that part.
            watch: called after every step of the graph with all values that are alive, by node, weights included.

        Raises:
            DataError: the batch does not fit the traced inputs.
            InputError: an unknown site, or an override of another shape.
        """
        batch = as_batch(batch, form=self.form)
        if not self.dynamic_batch and batch.size != self.traced_batch:
            return self._run_static(batch, taps or {}, overrides or {}, forks or {}, watch)
        return self._run(batch, batch.size, taps or {}, overrides or {}, forks or {}, watch)

    def _run(
        self, batch: Batch, valid: int, taps: Mapping[str, Tap], overrides: Mapping[str, Override],
        forks: Mapping[str, Sequence[Override]], watch: Callable[[Mapping[str, Any]], None] | None,
    ) -> Run:  # fmt: skip
        calls: dict[str, list[Callable[[Any, dict[str, Any]], None]]] = {}
        for key, tap in taps.items():
            calls.setdefault(self._node(key), []).append(self._tap(key, tap, batch.size, valid))
        inputs = self.inputs(batch)
        try:
            output, forked = self.program.run(
                inputs,
                on_value={node: _each(of_node) for node, of_node in calls.items()},
                overrides={self._node(key): _override(key, value) for key, value in overrides.items()},
                forks={self._node(key): [_override(key, value) for value in values] for key, values in forks.items()},
                keep=None if watch is None else lambda step, value, values: watch(values),
            )
        except Exception as failure:
            refused = None if isinstance(failure, NetcaliperError) else self._refused(batch)
            if refused is None:
                raise
            raise DataError(refused) from failure
        by_key = {key: forked[self._node(key)] for key in forks}
        return Run(output, by_key)

    def _refused(self, batch: Batch) -> str | None:
        """Say why the model itself does not take a batch, if it does not: then the batch is at fault."""
        settings = {key: value for key, value in self.example.kwargs.items() if not isinstance(value, Tensor)}
        moved = batch.to(self.device)
        try:
            with torch.no_grad():
                self.model(*moved.args, **{**settings, **moved.kwargs})
        except Exception as failure:
            words = (str(failure).splitlines() or [type(failure).__name__])[0]
            where = f" (examples {int(batch.indices[0])} to {int(batch.indices[-1])})" if len(batch.indices) else ""
            return (
                f"{self.name} does not take a batch of the data{where}: {type(failure).__name__}: {words}; look at the "
                "shapes of its inputs, at their length, and at their token ids"
            )
        return None

    def _run_static(
        self,
        batch: Batch,
        taps: Mapping[str, Tap],
        overrides: Mapping[str, Override],
        forks: Mapping[str, Sequence[Override]],
        watch: Callable[[Mapping[str, Any]], None] | None,
    ) -> Run:
        """Run a graph that is bound to one batch size: in pieces of that size, the last one filled up and cut again."""
        size, runs = self.traced_batch, []
        for start in range(0, batch.size, size):
            index = torch.arange(start, min(start + size, batch.size))
            piece = batch.take(index)
            valid = piece.size
            if any(isinstance(value, Tensor) for value in overrides.values()):
                raise InputError(
                    f"`overrides` holds a tensor, but the graph of {self.name} is bound to batches of {size} "
                    f"({self.static_reason});"
                    " pass a function of the value"
                )
            runs.append((valid, self._run(piece.repeated(size), valid, taps, overrides, forks, watch)))
        return Run(
            _joined([(valid, run.output) for valid, run in runs], size),
            {
                key: [_joined([(v, run.forks[key][i]) for v, run in runs], size) for i in range(len(forks[key]))]
                for key in forks
            },
        )

    def _node(self, key: str) -> str:
        if key.startswith(NODE) and self.program.makes(key.removeprefix(NODE)):
            return key.removeprefix(NODE)
        return key if key not in self._site and self.program.makes(key) else self.site(key).node

    def _tap(self, key: str, tap: Tap, size: int, valid: int) -> Callable[[Any, dict[str, Any]], None]:
        inputs = self._site[key].inputs if key in self._site else ()

        def call(value: Any, values: dict[str, Any]) -> None:
            tensors = [value, *(values[name] for name in inputs)]
            if valid < size:
                axis = self._site[key].batch_axis if key in self._site else self.batch_axis(self._node(key), -1)
                tensors = [t.narrow(axis, 0, t.shape[axis] // size * valid) for t in tensors]
            tap(*tensors)

        return call

    def inputs(self, batch: Batch) -> list[Any]:
        """Return the inputs in the graph's order, checked against the shapes that it was traced with."""
        traced = self.example
        settings = {key: value for key, value in traced.kwargs.items() if not isinstance(value, Tensor)}
        batch = replace(batch, kwargs={**settings, **batch.kwargs})
        if len(batch.args) != len(traced.args) or set(batch.kwargs) != set(traced.kwargs):
            raise DataError(
                f"the batch has {len(batch.args)} positional inputs and keys {sorted(batch.kwargs)}, the traced "
                "example had"
                f" {len(traced.args)} and {sorted(traced.kwargs)}; feed the model what it was traced with"
            )
        batch = batch.to(self.device)
        values = [*batch.args, *(batch.kwargs[key] for key in traced.kwargs)]
        flat = [leaf for value in values for leaf in pytree.tree_leaves(value)]
        theirs = [leaf for v in (*traced.args, *traced.kwargs.values()) for leaf in pytree.tree_leaves(v)]
        for name, value, example in zip(self.program.user_inputs, flat, theirs, strict=True):
            if not isinstance(value, Tensor) or not isinstance(example, Tensor):
                continue
            if value.dtype != example.dtype:
                raise DataError(
                    f"input `{name}` has dtype {value.dtype}, the traced example had {example.dtype}; convert it with"
                    f" `.to({example.dtype})`"
                )
            traced_shape = self._shapes[name]
            fits = len(traced_shape) == value.dim() and all(
                not isinstance(ours, int) or ours == size for ours, size in zip(traced_shape, value.shape, strict=True)
            )
            if not fits:
                expected = ["any" if not isinstance(size, int) else str(size) for size in traced_shape]
                raise DataError(
                    f"input `{name}` has shape {tuple(value.shape)}, the traced example allows ({', '.join(expected)});"
                    " resize the data"
                    " or trace with an example of that shape"
                )
        return flat


def _each(calls: Sequence[Callable[[Any, dict[str, Any]], None]]) -> Callable[[Any, dict[str, Any]], None]:
    def call(value: Any, values: dict[str, Any]) -> None:
        for each in calls:
            each(value, values)

    return call


def _override(key: str, value: Override) -> Callable[[Tensor], Tensor]:
    def replace_value(old: Tensor) -> Tensor:
        new = value(old) if callable(value) else value
        if not isinstance(new, Tensor) or new.shape != old.shape:
            got = tuple(new.shape) if isinstance(new, Tensor) else type(new).__name__
            raise InputError(f"the override of `{key}` must have shape {tuple(old.shape)}, got {got}")
        return new.to(old.dtype)

    return replace_value


def _joined(pieces: list[tuple[int, Any]], size: int) -> Any:
    """Join outputs of equal structure along the batch axis, leaving out what was only filled up."""
    leaves = []
    structure = pytree.tree_structure(pieces[0][1])
    for parts in zip(*(pytree.tree_leaves(output) for _, output in pieces), strict=True):
        if isinstance(parts[0], Tensor) and parts[0].dim() and parts[0].shape[0] == size:
            leaves.append(torch.cat([part[:valid] for part, (valid, _) in zip(parts, pieces, strict=True)]))
        else:
            leaves.append(parts[0])
    return pytree.tree_unflatten(leaves, structure)
