"""What became of every site: how far its units bend, and what they are where they do not.

A unit of an activation is ``alpha (a x + c) + (1 - alpha) phi(x)``, one of a gated product ``u phi(g)`` is
``u (alpha (a g + c) + (1 - alpha) phi(g))``; exactly ``alpha = 1`` is linear (a gate: if ``a = 0``, constant).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.fx import Graph as Nodes
from torch.fx import Node

from netcaliper.errors import InputError
from netcaliper.trace.elementwise import find_regions
from netcaliper.trace.graph import Graph
from netcaliper.trace.names import operation
from netcaliper.trace.site import Site


@dataclass(frozen=True, eq=False)
class Bend:
    """One site with its alphas.

    Attributes:
        site: the site.
        alpha: how linear each unit is, float64 ``[units]``.
        a: slope of the affine target, ``[units]``.
        c: constant of the affine target, ``[units]``.
        exit: the node whose value the site is.
        carrier: the node that a linear unit passes on: the pre-activation, or the value that a gate multiplies.
        root: the node that the nonlinearity reads: the pre-activation, or that of the gate.
        phi: the node of the nonlinearity's value, the exit itself if it is no product.
        region: the nodes from ``root`` (and ``carrier``) to ``exit``, in order, ``exit`` last.
    """

    site: Site
    alpha: Float[Tensor, " units"]
    a: Float[Tensor, " units"]
    c: Float[Tensor, " units"]
    exit: Node
    carrier: Node
    root: Node
    phi: Node
    region: tuple[Node, ...]

    @property
    def gate(self) -> bool:
        """Tell whether it is a gated product."""
        return self.phi is not self.exit

    @property
    def linear(self) -> Bool[Tensor, " units"]:
        """Which units are affine functions of the carrier: alpha exactly 1 (for a gate: and its target a constant)."""
        return (self.alpha == 1) & (self.a == 0) if self.gate else self.alpha == 1

    @property
    def axis(self) -> int:
        """Axis of the units."""
        return self.site.axis

    def target(self) -> tuple[Float[Tensor, " units"], Float[Tensor, " units"]]:
        """Return factor and constant on the carrier of a linear unit: ``(a, c)``, for a gate ``(c, 0)``."""
        return (self.c, torch.zeros_like(self.c)) if self.gate else (self.a, self.c)


def find_bends(
    graph: Graph,
    nodes: Nodes,
    alphas: Mapping[str, Tensor],
    targets: Mapping[str, tuple[Tensor, Tensor]],
) -> list[Bend]:
    """Find the nodes of every site that has an alpha other than zero.

    Args:
        graph: the traced network.
        nodes: its plain graph.
        alphas: by site, ``[units]``.
        targets: slope and constant of the affine target by site, ``[units]``; the identity where none is given.

    Returns:
        The sites, in graph order.

    Raises:
        InputError: an unknown site, one without an activation, a wrong number of units, a number that is not finite.
    """
    by_name = {node.name: node for node in nodes.nodes}
    inputs = frozenset(node.name for node in nodes.nodes if node.op == "placeholder")
    regions = find_regions([node for node in nodes.nodes if node.op != "output"], inputs)
    found = []
    unknown = next((name for name in targets if name not in alphas), None)
    if unknown is not None:
        raise InputError(f"`targets` names the site {unknown!r}, which `alphas` does not; give it an alpha too")
    for name, given in alphas.items():
        site = graph.site(name)
        alpha = _checked("alphas", name, given, site.units)
        if not bool(alpha.any()):
            continue
        a, c = targets.get(name, (torch.ones(site.units), torch.zeros(site.units)))
        ends = _ends(site, by_name, regions.nonlinear, regions.root)
        if isinstance(ends, str):
            raise InputError(f"`alphas` of the site {name!r} must be all 0: {ends}; leave the site out")
        exit_, carrier, root, phi = ends
        region = _region(nodes, exit_, {carrier, root}, regions.depends)
        pair = (_checked("targets", name, a, site.units), _checked("targets", name, c, site.units))
        found.append(Bend(site, alpha, *pair, exit_, carrier, root, phi, region))
    order = {node: place for place, node in enumerate(nodes.nodes)}
    return sorted(found, key=lambda bend: order[bend.exit])


def bend_all(nodes: Nodes, bends: Sequence[Bend], constant: Callable[[str, Tensor], Node]) -> dict[Node, Node]:
    """Write ``phi + alpha (a x + c - phi)`` behind the nonlinearity of every site.

    Args:
        nodes: the graph, which is changed.
        bends: the sites, in graph order.
        constant: makes a node of a stored tensor, given what to call it, in front of the node where it is needed.

    Returns:
        For the node of every nonlinearity the one that is read in its place.
    """
    moved: dict[Node, Node] = {}  # a site may read another one
    for bend in bends:
        layout = [1] * bend.exit.meta["val"].dim()
        layout[bend.axis] = len(bend.alpha)
        path, line = bend.site.name, moved.get(bend.root, bend.root)
        users = list(bend.phi.users)
        same = bool((bend.a == 1).all()) and not bool(bend.c.any())
        if operation(bend.phi) == "aten.relu" and not bend.gate and same and bend.axis == 1:
            with nodes.inserting_before(bend.phi):
                slope = constant(f"{path}.alpha", bend.alpha)
            bend.phi.target, bend.phi.args = torch.ops.aten.prelu.default, (line, slope)  # the same in one pass
            continue
        with nodes.inserting_after(bend.phi):
            mixed = nodes.call_function(torch.ops.aten.lerp.Tensor)  # returns its ends exactly at the weights 0 and 1
        with nodes.inserting_before(mixed):
            if not bool((bend.a == 1).all()):
                slope = constant(f"{path}.slope", bend.a.view(layout))
                line = nodes.call_function(torch.ops.aten.mul.Tensor, (line, slope))
            if bool((bend.c != 0).any()):
                shift = constant(f"{path}.shift", bend.c.view(layout))
                line = nodes.call_function(torch.ops.aten.add.Tensor, (line, shift))
            mixed.args = (bend.phi, line, constant(f"{path}.alpha", bend.alpha.view(layout)))
        mixed.meta = dict(bend.phi.meta)
        for user in users:
            user.replace_input_with(bend.phi, mixed)
        moved[bend.phi] = mixed
    return moved


def _ends(
    site: Site, by_name: Mapping[str, Node], nonlinear: frozenset[Node], roots: Mapping[Node, Node]
) -> tuple[Node, Node, Node, Node] | str:
    """Return exit, carrier, root and nonlinearity of a site, or in words why it has none."""
    if site.kind == "stream":
        return "a residual sum has no activation that could be linear"
    if site.node not in by_name or any(name not in by_name for name in site.inputs):
        return "its nodes are no longer in the graph"
    exit_, inputs = by_name[site.node], [by_name[name] for name in site.inputs]
    if site.kind == "activation":
        return exit_, inputs[0], inputs[0], exit_
    if len(inputs) != 2:
        return f"{operation(exit_)} is one operation: its gate cannot be told apart"
    gates = [node for node in inputs if node in nonlinear]
    if len(gates) != 1:
        return "a product without one activation has no gate that could be constant"
    return exit_, next(node for node in inputs if node is not gates[0]), roots[gates[0]], gates[0]


def _region(nodes: Nodes, exit_: Node, ends: set[Node], depends: frozenset[Node]) -> tuple[Node, ...]:
    """Return the nodes behind ``ends`` that the exit is computed with, in graph order."""
    region, stack = {exit_}, [exit_]
    while stack:
        for node in stack.pop().all_input_nodes:
            if node in depends and node not in ends and node not in region:
                region.add(node)
                stack.append(node)
    return tuple(node for node in nodes.nodes if node in region)


def _checked(argument: str, site: str, given: Tensor, units: int) -> Float[Tensor, " units"]:
    if not isinstance(given, Tensor) or tuple(given.shape) != (units,):
        got = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise InputError(
            f"`{argument}` of the site {site!r} must be a tensor of shape ({units},), one number for every unit, got "
            f"{got}; take it from a Bending of the same network"
        )
    if not bool(torch.isfinite(given).all()):
        raise InputError(f"`{argument}` of the site {site!r} must be finite, got NaN or infinity")
    return given.detach().to("cpu", torch.float64)
