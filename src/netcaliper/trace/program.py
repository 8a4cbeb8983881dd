"""Running the graph: values are freed after their last reader, forks replay only what depends on a site."""

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node
from torch.utils import _pytree as pytree

Values = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Step:
    """One call of the graph.

    Attributes:
        index: position in the order of execution.
        name: name of the node whose value it makes.
        node: the node.
        target: the operation.
        reads: names of the values that it reads.
    """

    index: int
    name: str
    node: Node
    target: Callable[..., Any]
    reads: frozenset[str]


@dataclass(frozen=True)
class Suffix:
    """What a fork at a node runs: ``ahead`` once (it does not depend on the node), ``dependent`` per override."""

    ahead: tuple[Step, ...]
    dependent: tuple[Step, ...]
    frees: tuple[tuple[str, ...], ...]


class Program:
    """The exported graph as a list of steps over live parameters."""

    def __init__(self, exported: ExportedProgram, keep_until: Mapping[str, Sequence[str]]) -> None:
        """Prepare the steps.

        Args:
            exported: the exported program.
            keep_until: for a node name the names of values that must still be there when its value has been made (the
                inputs of a site, for its taps).
        """
        self._module = exported.graph_module
        self._keep_until = keep_until
        assert exported.call_spec.out_spec is not None
        self._out_spec = exported.call_spec.out_spec
        self.user_inputs: list[str] = []
        self.parameters: dict[str, str] = {}
        """Name in the state dict, by node name (parameters, buffers and constants)."""
        self.stored = frozenset(exported.state_dict)
        """Names of the state dict: parameters and persistent buffers, without constants."""
        self._fixed: Values = {}
        for spec in exported.graph_signature.input_specs:
            if spec.kind == InputKind.USER_INPUT:
                self.user_inputs.append(spec.arg.name)
                continue
            target = spec.target
            assert target is not None
            live = exported.state_dict[target] if target in exported.state_dict else exported.constants[target]
            self._fixed[spec.arg.name] = live
            self.parameters[spec.arg.name] = target
        nodes = [node for node in exported.graph.nodes if node.op in ("call_function", "get_attr")]
        needed = _needed(exported)
        self.steps = tuple(
            Step(i, node.name, node, _target(node), frozenset(n.name for n in node.all_input_nodes))
            for i, node in enumerate(node for node in nodes if node in needed)
        )
        self._step = {step.name: step for step in self.steps}
        output = next(node for node in exported.graph.nodes if node.op == "output").args[0]
        user = [kind.kind == OutputKind.USER_OUTPUT for kind in exported.graph_signature.output_specs]
        self.outputs = [value for value, wanted in zip(output, user, strict=True) if wanted]
        self.output_names = frozenset(value.name for value in self.outputs if isinstance(value, Node))
        self._frees = self._last_readers(self.steps, self.output_names)
        self._suffixes: dict[str, Suffix] = {}

    def makes(self, name: str) -> bool:
        """Tell whether a step makes the value of this name."""
        return name in self._step

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The live parameters, buffers and constants by name in the state dict, in the order of the inputs."""
        return {
            name: self._fixed[node] for node, name in self.parameters.items() if isinstance(self._fixed[node], Tensor)
        }

    def fixed(self, name: str) -> Any:
        """Return the live parameter, buffer or constant behind a placeholder, ``None`` for any other node."""
        return self._fixed.get(name)

    def over(self, tensors: Mapping[str, Tensor]) -> "Program":
        """Return the same steps over other tensors, by state-dict name; those that are not named stay."""
        other = copy.copy(self)
        other._fixed = {node: tensors.get(self.parameters[node], value) for node, value in self._fixed.items()}
        return other

    def calling(self, targets: Mapping[str, Callable[..., Any]]) -> "Program":
        """Return the same steps, some of which call something else with the same arguments, by node."""
        other = copy.copy(self)
        other.steps = tuple(replace(step, target=targets.get(step.name, step.target)) for step in self.steps)
        other._step = {step.name: step for step in other.steps}
        other._suffixes = {}
        return other

    def run(
        self,
        inputs: Sequence[Any],
        *,
        on_value: Mapping[str, Callable[[Any, Values], None]] | None = None,
        overrides: Mapping[str, Callable[[Any], Any]] | None = None,
        forks: Mapping[str, Sequence[Callable[[Any], Any]]] | None = None,
        keep: Callable[[Step, Any, Values], None] | None = None,
    ) -> tuple[Any, dict[str, list[Any]]]:
        """Run once.

        Args:
            inputs: one value for each user input, in the graph's order.
            on_value: called with the value of a node and all live values, as soon as it exists (after an override).
            overrides: replaces the value of a node by a function of it.
            forks: for a node, functions of its value; for each the dependent suffix is run.
            keep: called after every step with all live values, before any is freed.

        Returns:
            The model's output, and for every forked node the outputs under its overrides.
        """
        values = self.start(inputs)
        forked: dict[str, list[Any]] = {}
        on_value, overrides, forks = on_value or {}, overrides or {}, forks or {}
        with torch.no_grad():
            for step, free in zip(self.steps, self._frees, strict=True):
                value = self._call(step, values)
                if step.name in overrides:
                    value = overrides[step.name](value)
                values[step.name] = value
                if step.name in on_value:
                    on_value[step.name](value, values)
                if step.name in forks:
                    forked[step.name] = self._fork(step.name, forks[step.name], values)
                if keep is not None:
                    keep(step, value, values)
                for name in free:
                    del values[name]
        return self._collect(values), forked

    def start(self, inputs: Sequence[Any]) -> Values:
        """Return the values that are there before the first step."""
        return self._fixed | dict(zip(self.user_inputs, inputs, strict=True))

    def advance(self, step: Step, values: Values) -> None:
        """Run one step on live values: its own is added, those that nothing reads after it are taken out."""
        with torch.no_grad():
            values[step.name] = self._call(step, values)
        for name in self._frees[step.index]:
            del values[name]

    def suffix(self, name: str) -> Suffix:
        """Return the steps that a fork at ``name`` runs."""
        if name not in self._suffixes:
            start = self._step[name].index + 1
            dependent, reached = [], {name}
            for step in self.steps[start:]:
                if step.reads & reached:
                    dependent.append(step)
                    reached.add(step.name)
            ahead, wanted = [], self.output_names.union(*(step.reads for step in dependent)) - reached
            for step in reversed(self.steps[start:]):
                if step.name in wanted:
                    ahead.append(step)
                    wanted |= step.reads
            frees = self._last_readers(dependent, self.output_names)
            self._suffixes[name] = Suffix(tuple(reversed(ahead)), tuple(dependent), frees)
        return self._suffixes[name]

    def _fork(self, name: str, overrides: Sequence[Callable[[Any], Any]], values: Values) -> list[Any]:
        suffix = self.suffix(name)
        border = dict(values)
        for step in suffix.ahead:
            border[step.name] = self._call(step, border)
        outputs = []
        for override in overrides:
            branch = border | {name: override(values[name])}
            for step, free in zip(suffix.dependent, suffix.frees, strict=True):
                branch[step.name] = self._call(step, branch)
                for freed in free:
                    branch.pop(freed, None)
            outputs.append(self._collect(branch))
        return outputs

    def _call(self, step: Step, values: Values) -> Any:
        if step.node.op == "get_attr":
            return operator.attrgetter(str(step.node.target))(self._module)
        args, kwargs = bound(step.node, values)
        return step.target(*args, **kwargs)

    def _collect(self, values: Values) -> Any:
        leaves = [values[value.name] if isinstance(value, Node) else value for value in self.outputs]
        return pytree.tree_unflatten(leaves, self._out_spec)

    def _last_readers(self, steps: Sequence[Step], kept: frozenset[str]) -> tuple[tuple[str, ...], ...]:
        """Return for every step the names of the step values that nothing reads after it."""
        made = {step.name for step in steps}
        last: dict[str, int] = {}
        for position, step in enumerate(steps):
            for name in (step.name, *step.reads, *self._keep_until.get(step.name, ())):
                if name in made:
                    last[name] = position
        frees: list[list[str]] = [[] for _ in steps]
        for name, position in last.items():
            if name not in kept:
                frees[position].append(name)
        return tuple(tuple(names) for names in frees)


def bound(node: Node, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the node's arguments with nodes replaced by their values."""
    args = tuple(_look_up(argument, values) for argument in node.args)
    return args, {key: _look_up(argument, values) for key, argument in node.kwargs.items()}


def _look_up(argument: Any, values: Mapping[str, Any]) -> Any:
    # not a function inside `bound`: one that calls itself is a reference cycle, and would keep all values until the
    # garbage collector comes
    if isinstance(argument, Node):
        return values[argument.name]
    if isinstance(argument, (list, tuple)):
        return type(argument)(_look_up(item, values) for item in argument)
    if isinstance(argument, slice):
        return slice(*(_look_up(end, values) for end in (argument.start, argument.stop, argument.step)))
    return argument


def _target(node: Node) -> Callable[..., Any]:
    """Return the operation that a step calls.

    The export writes ``view`` for a ``reshape`` that needed no copy at the traced size; at another batch size the
    strides may differ, so that it does need one. No value is ever written to, so a copy computes the same.
    """
    view = torch.ops.aten.view.default
    return torch.ops.aten.reshape.default if node.target is view else node.target  # type: ignore[return-value]


def _needed(exported: ExportedProgram) -> set[Node]:
    """Return the nodes that an output or an assertion needs."""
    needed: set[Node] = set()
    stack = [
        node for node in exported.graph.nodes if node.op == "output" or (node.op == "call_function" and _asserts(node))
    ]
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack.extend(node.all_input_nodes)
    return needed


def _asserts(node: Node) -> bool:
    return "assert" in str(node.target) or "sym_constrain" in str(node.target)


def tensors_of(output: Any) -> list[Tensor]:
    """Return all tensors of a model output, in order."""
    return [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
