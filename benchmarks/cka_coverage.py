"""Coverage of the standard error of CKA, and the warning where few examples dominate.

Two layers of N = 2,048 examples, X = (Z A + E D) and Y = (Z B + F G), with latents that both read and latents of their
own. With a linear kernel the population value follows from the covariances alone, whatever the distribution:

    CKA = |Cov(X, Y)|^2 / (|Cov(X, X)| |Cov(Y, Y)|)    (Frobenius norms)

Batches are of 256 examples (8 a pass), in 1 to 3 reshuffled passes, Gram matrices in float32 as in ``nc.cka``. Reported
is how often value +- t standard errors holds the population value, with t the 97.5 % quantile of Student's distribution
with 7 degrees of freedom, and with 1.96 in its place; with Clopper-Pearson intervals over simulations. No example
dominates there; latents are Gaussian, heavy-tailed (Student, 8 degrees of freedom), or examples differ in size
(log-normal, sigma .3).

Then few examples get a shift of 5 to 50 times the typical norm, 2 to 20 of the 2,048, in a direction of their layer.
They dominate if they make up more than half of ``|Cov(X, X)|^2`` of a layer in the population. Reported is how often
``alignment_warnings`` names them then, and how often it does without any such examples.

    python benchmarks/cka_coverage.py
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import table
import torch
from jaxtyping import Float64
from scipy.stats import t as student

from netcaliper.compare.alignment import carried
from netcaliper.compare.cka import CARRIED, alignment_warnings
from netcaliper.stats.cka import Alignment, AlignmentState
from netcaliper.stats.gram import GramMaker, squared_norms, u_center_
from netcaliper.stats.intervals import clopper_pearson
from netcaliper.stats.sampling import shuffled
from netcaliper.trace.layers import LayerValue

SEED = 2026
SIMULATIONS, DOMINATED = 600, 300
EXAMPLES, BATCH = 2048, 256
BATCHES = EXAMPLES // BATCH
KINDS = ("gaussian", "heavy latents", "sizes differ")
MULTIPLIERS = {"t": float(student.ppf(0.975, BATCHES - 1)), "1.96": 1.96}
BOUNDS = (0.90, 0.98)
LAYERS = tuple(LayerValue(name, "linear", "inner", 0, (1,), name, 0, 1) for name in ("first", "second"))

torch.set_num_threads(1)


@dataclass
class Pair:
    """Two layers as maps of latents: shared ones, then those of the first, then those of the second."""

    first: Float64[np.ndarray, "k p"]
    second: Float64[np.ndarray, "k q"]

    @property
    def truth(self) -> float:
        """Return the population value."""
        cross, own, other = (np.linalg.norm(a.T @ b) for a, b in self._products())
        return float(cross**2 / (own * other))

    def _products(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(self.first, self.second), (self.first, self.first), (self.second, self.second)]


def drawn_pair(rng: np.random.Generator) -> Pair:
    """Draw widths of 20 to 200, a shared part of 2 to 20 latents with a decaying spectrum, and its strength."""
    widths = np.exp(rng.uniform(np.log(20), np.log(200), size=2)).round().astype(int)
    shared = int(rng.integers(2, 21))
    decay = np.arange(1, shared + 1) ** -rng.uniform(0.0, 1.0)
    sides = []
    for side, width in enumerate(widths):
        strength = np.exp(rng.uniform(np.log(0.3), np.log(6.0)))
        latents = np.zeros((shared + int(widths.sum()), width))
        latents[:shared] = strength * decay[:, None] * rng.normal(size=(shared, width)) / np.sqrt(shared)
        own = slice(shared, shared + widths[0]) if side == 0 else slice(shared + widths[0], None)
        spectrum = np.arange(1, width + 1) ** -rng.uniform(0.0, 0.5)
        latents[own] = spectrum[:, None] * np.linalg.qr(rng.normal(size=(width, width)))[0]
        sides.append(latents)
    return Pair(*sides)


def drawn_features(rng: np.random.Generator, pair: Pair, kind: str) -> list[np.ndarray]:
    """Draw N examples; latents have variance 1 in each kind, up to one factor for all of them."""
    z = rng.normal(size=(EXAMPLES, len(pair.first)))
    if kind == "heavy latents":
        z = rng.standard_t(8, size=z.shape) / np.sqrt(8 / 6)
    if kind == "sizes differ":
        z *= np.exp(0.3 * rng.normal(size=(EXAMPLES, 1)))
    offset = [3 * rng.normal(size=side.shape[1]) for side in (pair.first, pair.second)]
    return [z @ side + by for side, by in zip((pair.first, pair.second), offset, strict=True)]


def compared(features: Sequence[np.ndarray], passes: int, seed: int) -> tuple[Alignment, np.ndarray]:
    """Return CKA from shuffled batches as ``nc.cka`` computes it, and what each example carries."""
    layers = [torch.from_numpy(layer).float() for layer in features]
    maker = GramMaker(BATCH, torch.device("cpu"), torch.float32)
    state, weight = AlignmentState(len(layers), BATCHES), np.zeros((len(layers), EXAMPLES))
    for of_pass in range(passes):
        order = shuffled(np.arange(EXAMPLES), seed, of_pass).reshape(BATCHES, BATCH)
        for number, batch in enumerate(order):
            grams = torch.empty(len(layers), BATCH, BATCH)
            for place, layer in enumerate(layers):
                maker(layer[torch.from_numpy(batch)], grams[place])
                norms = squared_norms(grams[place]).square()
                rows = torch.linalg.vector_norm(u_center_(grams[place]), dim=1, dtype=torch.float64).square()
                weight[place, batch] += (rows + norms).numpy()
            state.update(grams.flatten(1), of_pass, number)
    return state.finish(), weight / weight.sum(1, keepdims=True)


def warned(alignment: Alignment, weight: np.ndarray) -> bool:
    """Tell whether the report speaks of examples that carry much."""
    return any("examples carry" in words for words in alignment_warnings(alignment, weight, LAYERS))


def rate(hits: int, of: int) -> dict[str, Any]:
    """Return a share with its interval over simulations."""
    low, high = clopper_pearson(hits, of)
    return {"share": round(hits / of, 4), "low": round(float(low), 4), "high": round(float(high), 4), "of": of}


def undominated(rng: np.random.Generator) -> tuple[dict[str, Any], bool]:
    """Simulate without dominant examples."""
    rows = []
    for index in range(SIMULATIONS):
        kind, passes = KINDS[index % 3], 1 + index // 3 % 3
        pair = drawn_pair(rng)
        found, weight = compared(drawn_features(rng, pair, kind), passes, seed=index)
        value, error = float(found.matrix[0, 1]), float(found.standard_error[0, 1])
        rows.append((kind, passes, pair.truth, value - pair.truth, error, warned(found, weight), carried(weight).max()))
    truths, apart, errors = (np.array([row[place] for row in rows]) for place in (2, 3, 4))
    inside = {name: np.abs(apart) <= by * errors for name, by in MULTIPLIERS.items()}
    groups = {kind: np.array([row[0] == kind for row in rows]) for kind in KINDS}
    groups |= {f"{n} pass{'es' * (n > 1)}": np.array([row[1] == n for row in rows]) for n in (1, 2, 3)}
    groups |= {
        f"truth {low} to {high}": (truths >= low) & (truths < high) for low, high in ((0, 0.2), (0.2, 0.6), (0.6, 1))
    }
    table_ = {
        "simulations": SIMULATIONS,
        "truth_quartiles": [round(float(q), 3) for q in np.quantile(truths, (0, 0.25, 0.5, 0.75, 1))],
        "covered": {name: rate(int(hits.sum()), SIMULATIONS) for name, hits in inside.items()},
        "covered_by": {
            group: {name: rate(int(hits[mine].sum()), int(mine.sum())) for name, hits in inside.items()}
            for group, mine in groups.items()
        },
        "mean_standard_error_over_rms_deviation": round(float(np.sqrt(np.mean(errors**2) / np.mean(apart**2))), 3),
        "mean_deviation": round(float(apart.mean()), 5),
        "warned": rate(sum(row[5] for row in rows), SIMULATIONS),
        "largest_share_carried": round(float(max(row[6] for row in rows)), 3),
    }
    return table_, all(BOUNDS[0] <= hits.mean() <= BOUNDS[1] for hits in inside.values())


def dominated(rng: np.random.Generator) -> dict[str, Any]:
    """Simulate with examples of large norm, common to both layers."""
    found: dict[tuple[int, int], list[tuple[bool, float, bool]]] = {}
    designs = [(count, size) for count in (2, 4, 10, 20) for size in (5, 10, 50)]
    for index in range(DOMINATED):
        count, size = designs[index % len(designs)]
        pair = drawn_pair(rng)
        features = drawn_features(rng, pair, KINDS[index % 3])
        share = 0.0
        chosen = rng.choice(EXAMPLES, count, replace=False)
        for layer, side in zip(features, (pair.first, pair.second), strict=True):
            direction = rng.normal(size=layer.shape[1])
            spread = np.sqrt(np.mean(np.sum((layer - layer.mean(0)) ** 2, 1)))
            shift = size * spread * direction / np.linalg.norm(direction)
            layer[chosen] += shift
            plain, part = side.T @ side, count / EXAMPLES
            whole = plain + part * (1 - part) * np.outer(shift, shift)
            share = max(share, 1 - (np.linalg.norm(plain) / np.linalg.norm(whole)) ** 2)
        alignment, weight = compared(features, 1 + index % 3, seed=index)
        found.setdefault((count, size), []).append(
            (warned(alignment, weight), float(carried(weight).max()), bool(share > 0.5))
        )
    every = [one for ones in found.values() for one in ones]
    dominant = [one for one in every if one[2]]
    return {
        "simulations": DOMINATED,
        "warned_where_they_dominate": rate(sum(one[0] for one in dominant), len(dominant)),
        "warned_where_they_do_not": rate(sum(one[0] for one in every if not one[2]), len(every) - len(dominant)),
        "warned_by": {
            f"{count} examples of {size} times the norm": {
                **rate(sum(one[0] for one in ones), len(ones)),
                "dominate": round(float(np.mean([one[2] for one in ones])), 2),
                "median_share_carried": round(float(np.median([one[1] for one in ones])), 3),
            }
            for (count, size), ones in sorted(found.items())
        },
    }


def main() -> None:
    """Run both and write them down."""
    rng = np.random.default_rng(SEED)
    without, held = undominated(rng)
    table.write(
        __file__,
        {
            "seed": SEED,
            "examples": EXAMPLES,
            "batch": BATCH,
            "multipliers": {name: round(by, 4) for name, by in MULTIPLIERS.items()},
            "bounds": BOUNDS,
            "carried_above": CARRIED,
            "bounds_held": held,
            "without_dominant_examples": without,
            "with_dominant_examples": dominated(rng),
        },
    )


if __name__ == "__main__":
    main()
