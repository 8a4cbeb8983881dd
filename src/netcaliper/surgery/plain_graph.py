"""The exported graph as a plain module: parameters by their names, the inputs and outputs of the traced model.

The result is a ``torch.fx.GraphModule`` that needs no netcaliper to run. Its graph can be edited; after that ``module``
makes a module of it with tensors of its own.
"""

import copy
import re
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.utils import _pytree as pytree

from netcaliper.trace.graph import Graph

_VIEW = torch.ops.aten.view.default
_CHECKS = ("aten._assert_tensor_metadata", "_guards_fn")
_FLOATING = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass
class PlainGraph:
    """A graph that can be edited, and the tensors that its ``get_attr`` nodes name.

    Attributes:
        graph: the nodes.
        attributes: tensors (and modules that hold subgraphs) by dotted name.
        dtypes: of those that are not kept in the dtype that they will have.
    """

    graph: torch.fx.Graph
    attributes: dict[str, Any]
    dtypes: dict[str, torch.dtype] = field(default_factory=dict)

    def constant(self, name: str, value: Tensor, dtype: torch.dtype, *, trained: bool = False) -> Node:
        """Return a new node, at the graph's insertion point, of a tensor that is kept in float64 until the end.

        Args:
            name: what to call it; a number is appended if there is such a name already.
            value: the tensor.
            dtype: that it has in the module.
            trained: whether it is a parameter.
        """
        name = ".".join(_identifier(part) for part in name.split("."))
        free = (
            name
            if name not in self.attributes
            else next(f"{name}_{n}" for n in count(2) if f"{name}_{n}" not in self.attributes)
        )
        self.attributes[free] = nn.Parameter(value) if trained else value
        self.dtypes[free] = dtype
        node = self.graph.create_node("get_attr", free)
        node.meta["val"] = value
        return node

    def tidy(self) -> None:
        """Forget what nothing reads; a tensor that got a number only because of such a one loses it."""
        self.graph.eliminate_dead_code()
        read = [node for node in self.graph.nodes if node.op == "get_attr"]
        used = {str(node.target) for node in read}
        self.attributes = {name: value for name, value in self.attributes.items() if name in used}
        for node in read:
            name, plain = str(node.target), re.sub(r"_\d+$", "", str(node.target))
            if name in self.dtypes and name != plain and plain not in self.attributes:
                self.attributes[plain], self.dtypes[plain] = self.attributes.pop(name), self.dtypes.pop(name)
                node.target = plain

    def module(self, dtype: torch.dtype | None = None) -> GraphModule:
        """Return a module with copies of the tensors; in ``dtype`` throughout if it is given."""
        graph = _copy(self.graph)
        if dtype is not None:
            _in(graph, dtype)
        used = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
        done: dict[int, Any] = {}  # a tied weight stays one tensor
        root = {}
        for name, value in self.attributes.items():
            if name in used:
                root[name] = done.setdefault(id(value), _copied(value, dtype or self.dtypes.get(name)))
        made = GraphModule(root, graph, "Folded")
        made.train(False)
        return made


def plain_graph(graph: Graph) -> PlainGraph:
    """Return the graph of a traced network with the weights that it runs with."""
    exported = graph.exported.program.module(check_guards=False)
    tensors = graph.program.tensors
    nodes = _copy(exported.graph)  # one that no module owns can be edited freely
    attributes: dict[str, Any] = {}
    for node in list(nodes.nodes):
        if node.op == "get_attr":
            name = str(node.target)
            found: Any = exported
            for part in name.split("."):
                found = getattr(found, part)
            attributes[name] = tensors.get(name, found)
            if isinstance(found, Tensor) and "val" not in node.meta:
                node.meta["val"] = found
        elif node.op == "call_function" and node.target is _VIEW:
            node.target = torch.ops.aten.reshape.default  # at another batch size the strides may need a copy
        elif str(node.target).rpartition(".default")[0] in _CHECKS or node.op == "call_module":
            nodes.erase_node(node)  # checks of dtypes and guards, which hold for what was traced
    _drop_settings(nodes, graph)
    nodes.eliminate_dead_code()
    return PlainGraph(nodes, attributes)


def _copy(graph: torch.fx.Graph) -> torch.fx.Graph:
    new = torch.fx.Graph()
    new.output(new.graph_copy(graph, {}))
    new.set_codegen(graph._codegen)
    return new


def _drop_settings(nodes: torch.fx.Graph, graph: Graph) -> None:
    """Take keyword inputs that are no tensors off the signature: the export has fixed them (``use_cache=False``)."""
    codegen: Any = nodes._codegen
    info = codegen.pytree_info
    args, kwargs = graph.example.args, dict(graph.example.kwargs)
    settings = {key for key, value in kwargs.items() if not pytree.tree_leaves(value) or _no_tensors(value)}
    if not settings:
        return
    placeholders = [node for node in nodes.nodes if node.op == "placeholder"]
    flat = [(None, leaf) for value in args for leaf in pytree.tree_leaves(value)]
    flat += [(key, leaf) for key, value in kwargs.items() for leaf in pytree.tree_leaves(value)]
    for node, (key, _) in zip(placeholders, flat, strict=True):
        if key in settings and not node.users:
            nodes.erase_node(node)
    kept = {key: value for key, value in kwargs.items() if key not in settings}
    names = [name for name in info.orig_args if name not in settings]
    spec = pytree.tree_structure((tuple(args), kept))
    codegen.pytree_info = info._replace(orig_args=names, in_spec=spec)


def _identifier(part: str) -> str:
    return re.sub(r"\W", "_", part)


def _no_tensors(value: Any) -> bool:
    return not any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))


def _copied(value: Any, dtype: torch.dtype | None) -> Any:
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    new = value.detach().clone()
    new = new.to(dtype) if dtype is not None and new.is_floating_point() else new
    return nn.Parameter(new, value.requires_grad) if isinstance(value, nn.Parameter) else new


def _in(graph: torch.fx.Graph, dtype: torch.dtype) -> None:
    """Write one floating-point dtype wherever the graph names another, so that a check in it is one throughout."""
    for node in graph.nodes:
        node.args = tuple(dtype if _is_floating(a) else a for a in node.args)
        node.kwargs = {key: dtype if _is_floating(a) else a for key, a in node.kwargs.items()}


def _is_floating(value: object) -> bool:
    return any(value is dtype for dtype in _FLOATING)
