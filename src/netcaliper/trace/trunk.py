"""The trunk: what every path from the inputs to the outputs has to go through.

"Frivolous Units" (Casper et al. 2021) measures residual networks at the stem and at the outputs of the stages, that is
on the trunk: channels inside a block can be gone around over its shortcut, and are left out.
"""

from netcaliper.trace.elementwise import find_regions
from netcaliper.trace.graph import Graph
from netcaliper.trace.program import Program
from netcaliper.trace.site import Site


def trunk(program: Program) -> frozenset[str]:
    """Return the names of the values on *every* path of data from an input to an output.

    Steps that depend on an input and that an output depends on are numbered in the order of execution. Step i is on
    every path exactly if nothing before it (the inputs included) is read after it, so one sweep in linear time is
    enough. Sizes are no data: reading the shape of a value opens no path.
    """
    if not program.steps:
        return frozenset()
    depends = find_regions(list(program.steps[0].node.graph.nodes), frozenset(program.user_inputs)).depends
    wanted = set(program.output_names)
    for step in reversed(program.steps):
        if step.name in wanted and step.node in depends:
            wanted |= {node.name for node in step.node.all_input_nodes if node in depends}
    steps = [step for step in program.steps if step.name in wanted and step.node in depends]
    last = {name: len(steps) for name in program.output_names}
    for position, step in reversed(list(enumerate(steps))):
        for name in step.reads:
            last.setdefault(name, position)
    reach = max((last.get(name, -1) for name in program.user_inputs), default=-1)
    found = []
    for position, step in enumerate(steps):
        if reach <= position:
            found.append(step.name)
        reach = max(reach, last.get(step.name, -1))
    return frozenset(found)


def trunk_sites(graph: Graph) -> tuple[Site, ...]:
    """Return the sites that the paper measures: activations on the trunk, of every coupled group only the last one.

    For a residual network these are the stem and the outputs of the stages; for a chain all hidden activations.
    """
    inside = trunk(graph.program)
    sites = [site for site in graph.sites if site.kind == "activation" and site.node in inside]
    last = {site.group: site.name for site in sites}
    return tuple(site for site in sites if site.group is None or last[site.group] == site.name)
