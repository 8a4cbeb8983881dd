"""Residual blocks left out of the user's own module: what stands in the place of which of its modules.

With the branch of a residual sum at zero the network goes on with the skip. Where a module computes the sums of
dropped blocks and nothing else of weight, something that passes its input on stands in its place; where only one sum of
a module with several goes (attention or feed-forward network of a transformer block), zeros stand in the place of the
module that computes the branch. Every replacement is compared with the graph whose branches are set to zero, over
weights that were shaken (with those of the model itself a BatchNorm that was never trained looks like nothing at all),
both at the outputs and where the block ends, for little of a block may reach the outputs.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.fx import Node

from netcaliper.errors import CutRefused, InputError
from netcaliper.surgery.answers import answer, difference
from netcaliper.surgery.cuts import tensor_at
from netcaliper.surgery.stand_ins import Replacement, put_in_for_now
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.names import operation
from netcaliper.trace.replay import TOLERANCE
from netcaliper.trace.residual import ResidualBlock, residual_blocks


def replacements(graph: Graph, dropped: Sequence[str]) -> dict[str, Replacement]:
    """Find what has to stand where so that residual blocks are left out.

    Args:
        graph: the traced network.
        dropped: names of the blocks' sums, as ``residual_blocks`` names them.

    Returns:
        By path of a module what stands in its place.

    Raises:
        InputError: a name is that of no residual block, or of one that cannot be left out.
        CutRefused: no module computes the block (or its branch) alone; the message names the block and what was tried.
    """
    return _Search(graph, dropped).result() if dropped else {}


def gone_with(graph: Graph, dropped: Sequence[str], replaced: Mapping[str, Replacement]) -> set[str]:
    """Return the names of the nodes that go with residual blocks.

    Args:
        graph: the traced network.
        dropped: names of the blocks' sums.
        replaced: what stands where, see ``replacements``.

    Returns:
        All nodes of modules in whose place something stands (but for the last one where that is a ReLU), those that
        only a dropped branch needs, and the sums: with zeros added they only pass the skip on.
    """
    gone: set[str] = set()
    if not dropped:
        return gone
    nodes = {node.name: node for node in graph.exported.program.graph.nodes}
    for path, kind in replaced.items():
        inside = [step.node.name for step in graph.program.steps if path in _paths(step.node)]
        gone.update(inside[:-1] if kind == "relu" else inside)
    for block in residual_blocks(graph).blocks:
        if block.name in dropped:
            gone |= {block.node, *(node.name for node in _region(graph, nodes[block.branch]))}
    return gone


class _Trial:
    """A network with other weights, on which replacements are tried."""

    def __init__(self, graph: Graph) -> None:
        shaken = _shaken(graph)
        self.graph = graph.with_state({**graph.program.tensors, **shaken})
        self.model = copy.deepcopy(graph.model)
        with torch.no_grad():
            for name, value in shaken.items():
                cast(Tensor, tensor_at(self.model, name)).copy_(value)
        self.modules = dict(self.model.named_modules())
        self.other = _other_outputs(self.model, graph.example)

    def answers(self, replaced: Mapping[str, Replacement], path: str) -> tuple[Any, list[Any]]:
        """Return the answer with modules replaced, and what the module at a path gives then."""
        local: list[Any] = []
        with put_in_for_now(self.model, replaced):
            at = self.model.get_submodule(path)
            hook = at.register_forward_hook(lambda _, args, output: local.append(output)) if path else None
            try:
                return answer(self.model, self.graph.example), local
            finally:
                if hook is not None:
                    hook.remove()


_TRIALS: WeakKeyDictionary[Graph, _Trial] = WeakKeyDictionary()
"""What is the same for all blocks of a graph, made once: every block is tried by itself first."""


class _Search:
    """What stands where so far, and how the answer must be."""

    def __init__(self, graph: Graph, dropped: Sequence[str]) -> None:
        self.graph = graph
        self.blocks = residual_blocks(graph).blocks
        known = {block.name: block for block in self.blocks}
        for name in dropped:
            reason = known[name].reason if name in known else "there is no residual block of that name"
            if reason is not None:
                raise InputError(f"`dropped` must name blocks that can be left out, got {name!r}: {reason}")
        self.dropped = [block for block in self.blocks if block.name in dropped]
        self.nodes = {node.name: node for node in graph.exported.program.graph.nodes}
        self.used: dict[str, list[Node]] = {}
        """By path of a module all nodes that it (or what is in it) makes."""
        for step in graph.program.steps:
            for path in _paths(step.node):
                self.used.setdefault(path, []).append(step.node)
        self.trial = _TRIALS.get(graph) or _TRIALS.setdefault(graph, _Trial(graph))
        self.replaced: dict[str, Replacement] = {}
        self.zeroed: list[ResidualBlock] = []
        self.problems: list[str] = []
        """What was tried for the present block in vain."""

    def result(self) -> dict[str, Replacement]:
        left = list(self.dropped)
        while left:
            block, self.problems = left[-1], []
            together = self._passed_by(block) or self._silenced(block)
            if not together:
                tried = "; ".join(dict.fromkeys(self.problems))
                raise CutRefused(
                    f"residual block `{block.name}` cannot be left out of the module: {tried}; it stays", (block.name,)
                )
            self.zeroed += together
            left = [each for each in left if each not in together]
        return self.replaced

    def _passed_by(self, block: ResidualBlock) -> list[ResidualBlock]:
        """Let the smallest module around a sum pass its input on, with all sums in it; return these sums."""
        names = {each.name for each in self.dropped}
        for path in reversed(_paths(self.nodes[block.node])):
            inside = [each for each in self.blocks if path in _paths(self.nodes[each.node])]
            if not all(each.name in names for each in inside):
                break
            for kind in self._kinds(path, block):
                if self._same({**self.replaced, path: kind}, [*self.zeroed, *inside], path):
                    self.replaced[path] = kind
                    return inside
        return []

    def _kinds(self, path: str, block: ResidualBlock) -> list[Replacement]:
        """Say what may stand for a block; a ReLU behind the sum still acts on a skip that is not one already."""
        sums = self.nodes[block.node]
        behind = [node for node in sums.users if path in _paths(node)]
        if any(operation(node) == "aten.relu" for node in behind):
            skip = self.nodes[block.skip]
            return ["identity", "first"] if operation(skip) == "aten.relu" else ["relu"]
        return ["identity", "first"]

    def _silenced(self, block: ResidualBlock) -> list[ResidualBlock]:
        """Put zeros for what computes a branch, and nothing for the other weights of the branch."""
        region = _region(self.graph, self.nodes[block.branch])
        outer = set(_paths(self.nodes[block.node]))
        whole = [path for path, nodes in self.used.items() if path not in outer and set(nodes) <= region]
        largest = [path for path in whole if not any(path.startswith(f"{other}.") for other in whole)]
        largest.sort(key=lambda path: -self._weights(path))
        if not largest:
            self.problems.append("no module of its own computes its branch")
        around = next(reversed(_paths(self.nodes[block.node])), "")
        zeroed = [*self.zeroed, block]
        zero = next((p for p in largest if self._same({**self.replaced, p: "zero"}, zeroed, around)), None)
        if zero is None:
            return []
        self.replaced[zero] = "zero"
        for path in largest:
            if path != zero and self._weights(path):
                without: dict[str, Replacement] = {**self.replaced, path: "identity"}
                if self._same(without, zeroed, around):
                    self.replaced = without
        return [block]

    def _weights(self, path: str) -> int:
        modules = self.trial.modules
        return sum(weight.numel() for weight in modules[path].parameters()) if path in modules else 0

    def _same(self, replaced: Mapping[str, Replacement], zeroed: Sequence[ResidualBlock], around: str) -> bool:
        """Tell whether the module with the replacements answers as the graph does with these branches at zero.

        Args:
            replaced: by path what stands there; the last one is new.
            zeroed: blocks that are left out.
            around: path of the module whose output is compared too, empty for none.
        """
        path, kind = list(replaced.items())[-1]
        if path not in self.trial.modules:
            return False
        if path in self.trial.other:  # what unpacks it could take zeros apart along the examples without a word
            self.problems.append(f"`{path}` returns {self.trial.other[path]}")
            return False
        ends = self._ends(around)
        seen: list[Tensor] = []
        expected = self.trial.graph.run(
            self.graph.example,
            taps={NODE + name: lambda value, *_: seen.append(value.clone()) for name in ends},
            overrides={NODE + each.branch: torch.zeros_like for each in zeroed},
        ).output
        try:
            found, local = self.trial.answers(replaced, around if ends else "")
            gap = max(difference(expected, found), difference(seen, local) if ends else 0.0)
        except Exception as failure:
            words = (str(failure).splitlines() or [""])[0]
            self.problems.append(
                f"with {kind} in place of `{path}` the model fails ({type(failure).__name__}: {words})"
            )
            return False
        self.problems.append(f"with {kind} in place of `{path}` the answer differs by {gap:.3g} of the largest output")
        return gap <= TOLERANCE.get(self.graph.dtype, 0.0)

    def _ends(self, path: str) -> list[str]:
        """Return the node that a module gives back, if it gives back one that is read outside of it."""
        inside = set(self.used.get(path, ()))
        ends = [node.name for node in self.used.get(path, ()) if any(user not in inside for user in node.users)]
        return ends if len(ends) == 1 and path not in self.trial.other else []


def _region(graph: Graph, branch: Node) -> set[Node]:
    """Return the nodes that nothing but a branch needs."""
    region = {branch}
    for step in reversed(graph.program.steps):
        users = [user for user in step.node.users if user.op != "output"]
        if step.node.users and len(users) == len(step.node.users) and all(user in region for user in users):
            region.add(step.node)
    return region


def _shaken(graph: Graph) -> dict[str, Tensor]:
    """Return the floating-point weights and statistics of a network, each entry moved by about a third of its tensor.

    What is 0 or 1 in every entry (biases, norms as they are made) is moved too; variances stay positive, and what holds
    infinity (masks, bounds) stays as it is.
    """
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    done: dict[int, Tensor] = {}
    for name, tensor in graph.program.tensors.items():
        if not tensor.is_floating_point() or tensor_at(graph.model, name) is None:
            continue
        if not bool(torch.isfinite(tensor).all()):
            continue  # masks and bounds
        if id(tensor) not in done:
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor)
            old = tensor.detach()
            size = old.square().mean().sqrt()
            moved = (
                old * (0.5 * noise).exp() if bool((old > 0).all()) else old + noise * (size / 3 if size > 0 else 0.1)
            )
            done[id(tensor)] = moved
        found[name] = done[id(tensor)]
    return found


def _other_outputs(model: nn.Module, batch: Batch) -> dict[str, str]:
    """Return what modules give that do not give one tensor of the shape of their first input, by path."""
    other: dict[str, str] = {}

    def look(path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        first = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
        if not isinstance(output, Tensor):
            other[path] = f"a {type(output).__name__}, not a tensor"
        elif first is None or first.shape != output.shape:
            other[path] = "another shape than that of its input"

    hooks = [
        module.register_forward_hook(
            lambda _, args, kwargs, output, path=path: look(path, args, kwargs, output), with_kwargs=True
        )
        for path, module in model.named_modules()
    ]
    try:
        answer(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return other


def _paths(node: Node) -> list[str]:
    """Return the modules that a node is made in, outermost first, without the root."""
    return list(_each_path(node))


def _each_path(node: Node) -> Iterator[str]:
    for entry in (node.meta.get("nn_module_stack") or {}).values():
        path = str(entry[0]).split("@")[0]
        if path and not path.startswith("_empty"):
            yield path
