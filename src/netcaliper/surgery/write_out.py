"""Writing forms out as operations with weights: the opposite of recognizing them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Node

from netcaliper.surgery.linear_maps import Kernel, Scale
from netcaliper.surgery.plain_graph import PlainGraph
from netcaliper.surgery.rewrite import Rewriting

_CONVOLUTIONS = (torch.ops.aten.conv1d.default, torch.ops.aten.conv2d.default, torch.ops.aten.conv3d.default)


def write_out(plain: PlainGraph, rewriting: Rewriting, moved: Mapping[Node, Node]) -> None:
    """Replace every form that changed by operations, and forget the weights that nothing reads any more.

    The first kernel of a form has the names ``weight`` and ``bias`` in its module, others ``bypass.weight``.

    Args:
        plain: the graph, which is changed.
        rewriting: its forms.
        moved: for nodes that a form may name the ones that are read in their place.
    """
    written = dict(moved)
    for node in list(plain.graph.nodes):
        if node in rewriting.changed:
            with plain.graph.inserting_before(node):
                written[node] = _written(plain, rewriting, node, written)
            written[node].meta.setdefault("val", node.meta["val"])
            node.replace_all_uses_with(written[node])
            plain.graph.erase_node(node)
    plain.tidy()


def _written(plain: PlainGraph, rewriting: Rewriting, node: Node, written: dict[Node, Node]) -> Node:
    form, name, dtype = rewriting.forms[node], rewriting.names[node], node.meta["val"].dtype
    rank = node.meta["val"].dim()

    def stored(what: str, value: torch.Tensor) -> Node:
        return plain.constant(f"{name}.{what}", value, dtype, trained=True)

    def along(vector: torch.Tensor) -> torch.Tensor:
        assert form.axis is not None
        spread = [1] * (rank - form.axis - vector.dim())
        return vector.reshape(*vector.shape, *spread)

    def call(target: Any, *args: Any) -> Node:
        made = plain.graph.call_function(target, args)
        made.meta = dict(node.meta)
        return made

    bias, total = form.bias, None
    for place, term in enumerate(sorted(form.terms, key=lambda term: isinstance(term.map, Scale))):
        value = written.get(term.source, term.source)
        if isinstance(term.map, Kernel):
            prefix = "" if place == 0 else "bypass." if place == 1 else f"bypass{place}."
            weight, shift = stored(f"{prefix}weight", term.map.weight), None
            if bias is not None and bias.dim() == 1:
                shift, bias = stored(f"{prefix}bias", bias), None
            if term.map.size:
                one = term.map
                geometry = (list(one.stride), list(one.padding), list(one.dilation), one.groups)
                value = call(_CONVOLUTIONS[len(one.size) - 1], value, weight, shift, *geometry)
            else:
                value = call(torch.ops.aten.linear.default, value, weight, shift)
        elif term.map.factor is not None and len(form.terms) == 1 and bias is not None and bias.dim() == 1:
            scale, bias = along(term.map.factor), along(bias)
            value = call(torch.ops.aten.addcmul.default, stored("bias", bias), value, stored("weight", scale))
            bias = None
        elif term.map.factor is not None:
            value = call(torch.ops.aten.mul.Tensor, value, stored("weight", along(term.map.factor)))
        total = value if total is None else call(torch.ops.aten.add.Tensor, total, value)
    assert total is not None
    if bias is not None:
        total = call(torch.ops.aten.add.Tensor, total, stored("bias", along(bias)))
    return total
