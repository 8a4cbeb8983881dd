"""What ablations cost, before they run, and how many examples a budget allows."""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from netcaliper.measure.ablation import NETWORK, Ablations
from netcaliper.trace.graph import NODE, Graph

FEWEST_EXAMPLES, MOST_EXAMPLES = 64, 1000
FEWEST_SEQUENCES = 14
"""Examples of a network that predicts something for every token: each of them is many predictions, but with fewer
not even a perfect agreement shows .8 (see ``fewest_trials``)."""

FEWEST_PERMUTATIONS = 3
"""Orders of units where more would cost too much: as many as the paper has."""


def operations(graph: Graph) -> dict[str, int]:
    """Return by step of the graph the floating-point operations of the traced example, plus the values it makes.

    What makes no tensor (sizes, tuples that are taken apart at once) is counted with the next step that does.
    """
    counts: dict[str, int] = {}
    counter = FlopCounterMode(display=False)
    before = 0

    def count(name: str) -> Callable[..., None]:
        def tap(value: Tensor, *_: Tensor) -> None:
            nonlocal before
            now = counter.get_total_flops()
            counts[name] = now - before + value.numel()
            before = now

        return tap

    with counter:
        made = [step.name for step in graph.program.steps if isinstance(step.node.meta.get("val"), Tensor)]
        graph.run(graph.example, taps={NODE + name: count(name) for name in made})
    return counts


def ablation_passes(ablations: Ablations, counts: Mapping[str, int]) -> float:
    """Return what the ablations of one example cost, in forward passes of the whole network.

    A set of units of one site costs the part of the network that depends on the site, a set of all sites the whole.

    Args:
        ablations: of the network.
        counts: from ``operations``.
    """
    total = sum(counts.values())
    passes = 1.0
    for scope in ablations.scopes:
        if scope.name == NETWORK:
            passes += len(scope.forks)
            continue
        suffix = ablations.graph.program.suffix(scope.sites[0].node)
        ahead, dependent = (
            sum(counts.get(step.name, 0) for step in steps) for steps in (suffix.ahead, suffix.dependent)
        )
        passes += (ahead + len(scope.forks) * dependent) / total
    return passes


def ablated_examples(
    select: int, examples: int, passes_an_example: float, budget: float, *, fewest: int = FEWEST_EXAMPLES
) -> int:
    """Return how many select examples are ablated: ``m = budget * examples / passes_an_example``.

    So many that the ablations cost ``budget`` forward passes of the data, but at least ``fewest`` and at most 1,000,
    and never more than there are. With 64 examples an agreement of .8 is known to +-.1, with 1,000 to +-.025.

    Args:
        select: number of select examples.
        examples: number of examples in the data.
        passes_an_example: from ``ablation_passes``.
        budget: forward passes of all the data that may be spent.
        fewest: examples that an agreement needs.
    """
    return min(max(fewest, int(budget * examples / passes_an_example)), select, MOST_EXAMPLES)
