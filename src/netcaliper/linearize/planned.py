"""Which trainings a linearization makes, in their order, known before the first one."""

from collections.abc import Sequence
from dataclasses import dataclass

from netcaliper.linearize.asked import Asked
from netcaliper.reading.linearization import PointKind


@dataclass(frozen=True)
class Planned:
    """One training to come.

    Attributes:
        kind: as in a record.
        name: unique in it.
        omega: strength of the penalty in the first epoch, ``None`` without one.
        like: place of the learned training that says how many units bend.
        network: place of the network among those from scratch.
    """

    kind: PointKind
    name: str
    omega: float | None = None
    like: int | None = None
    network: int | None = None


def plan(asked: Asked, omegas: Sequence[float], networks: int) -> tuple[Planned, ...]:
    """Return the trainings: the reference, the sweep, and the baselines beside it.

    Args:
        asked: what is asked.
        omegas: of the sweep.
        networks: how many there are to train from scratch.
    """
    made = [Planned("unbent", "unbent")]
    made += [Planned("learned", f"learned, omega {omega:.3g}", omega) for omega in omegas]
    sweep = list(enumerate(omegas, 1))
    if "random" in asked.baselines:
        made += [Planned("random", f"random, as many as {omega:.3g}", like=k) for k, omega in sweep]
    if "layer" in asked.baselines and asked.granularity == "channel":
        made += [Planned("layer", f"layers, as many as {omega:.3g}", omega, like=k) for k, omega in sweep]
    if "one_shot" in asked.baselines:
        made += [Planned("one_shot", f"one-shot, as many as {omega:.3g}", like=k) for k, omega in sweep]
    if "shallow" in asked.baselines:
        made += [Planned("shallow", f"shallow {k + 1}", network=k) for k in range(networks)]
    return tuple(made)


def plan_words(asked: Asked, planned: Sequence[Planned]) -> str:
    """Say what will be trained, before it is."""
    kinds = dict.fromkeys(one.kind for one in planned)
    parts = [f"{sum(one.kind == kind for one in planned)} {kind.replace('_', '-')}" for kind in kinds]
    words = f"{len(planned)} trainings ({', '.join(parts)}) of {asked.trained} epochs"
    if asked.start_epoch:
        words += f", after {asked.start_epoch} plain ones"
    if "shallow" in kinds:
        words += f"; {asked.from_scratch} epochs from scratch"
    return words
