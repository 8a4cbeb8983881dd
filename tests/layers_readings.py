"""Small hand-built readings of layers: consistent records without a model, so that reports are tested without torch.

``one()`` holds everything that is taken of one network, with the twin: a block of 12 of 40 layers is planted;
``several()`` two networks of different depth; ``groups()`` two groups of seeds; ``bare()`` what is always there;
``deep(layers)`` is as long as wanted.
"""

from typing import Any

import numpy as np

from netcaliper.reading.layers import (
    Agreement,
    Block,
    ClassDifference,
    Crossing,
    Deletion,
    Depth,
    Dominant,
    Equivalence,
    Estimator,
    ExampleSpread,
    Group,
    GroupDifference,
    Layer,
    LayersOf,
    Origin,
    Probing,
    ResidualBlock,
)
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.schema import Cost, Share, Skipped

HOSTILE = 'layer3.<script>alert(1)</script>"&add'
FIRST, LAST = 20, 31
"""The planted block: 12 layers."""
HELD = 64
OVER = "95 % Clopper-Pearson interval over examples"


def layers(number: int, *, hostile: bool = False) -> tuple[Layer, ...]:
    """Make layers of a residual network: every third one is a residual sum."""
    kinds = ("conv2d", "batch_norm", "add")
    found = [Layer(name="input", op="input", kind="inner", stage=0, shape=(3, 32, 32))]
    for i in range(1, number):
        stage = min(3 * i // number, 2)
        op = kinds[(i - 1) % 3]
        name = HOSTILE if hostile and i == 25 else f"layer{stage + 1}.{i // 3}.{op}_{i}"
        shape = (16 << stage, 32 >> stage, 32 >> stage)
        found.append(Layer(name=name, op=op, kind="stream" if op == "add" else "inner", stage=stage, shape=shape))
    found[3] = found[3].model_copy(update={"reason": "constant on every example: nothing to compare"})
    return tuple(found)


def similarity(number: int, block: tuple[int, int] | None, *, seed: int = 0) -> np.ndarray:
    """Make a matrix that decays with distance, with a block, a residual checkerboard, values below 0 and one gap."""
    rng = np.random.default_rng([number, seed])
    at = np.arange(number)
    apart = np.abs(at[:, None] - at[None])
    cka = 1.05 * np.exp(-apart / (0.22 * number)) - 0.05
    stream = (at % 3 == 0)[:, None] & (at % 3 == 0)[None]
    cka = np.where(stream, cka, 0.85 * cka - 0.02)
    if block:
        inside = (at >= block[0]) & (at <= block[1])
        cka[np.ix_(inside, inside)] = 0.97
        cka[np.ix_(inside, ~inside)] *= 0.5
        cka[np.ix_(~inside, inside)] *= 0.5
    noise = rng.normal(0, 0.01, (number, number))
    cka = np.minimum(cka + (noise + noise.T) / 2, 0.995)
    np.fill_diagonal(cka, 1.0)
    cka[3, :] = cka[:, 3] = np.nan
    return cka


def matrices(number: int, block: tuple[int, int] | None, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Make the square arrays of one network."""
    cka = similarity(number, block, seed=seed)
    error = np.where(np.isnan(cka), np.nan, 0.004)
    return {
        "cka": cka,
        "standard_error": error,
        "partition_error": error / 2,
        "cka_normalized": similarity(number, block, seed=seed + 10) ** 1.0,
        "cka_without_pc": similarity(number, None, seed=seed + 20),
        "cka_without_dominant": similarity(number, None, seed=seed + 30),
        "pc_cosine": np.clip(similarity(number, block, seed=seed + 40), 0, 1),
        "neighbors": np.clip(similarity(number, None, seed=seed + 50) * 0.6, 0, 1),
        "procrustes": np.clip(2 - 2 * similarity(number, None, seed=seed + 60), 0, 2),
    }


def residual_blocks(number: int) -> tuple[ResidualBlock, ...]:
    found = []
    for layer in range(6, number, 3):
        stage = min(3 * layer // number, 2)
        new = not found or found[-1].stage != stage
        reason = "its shortcut changes the shape" if new and stage else None
        drop = None if reason else FIRST <= layer <= LAST
        found.append(
            ResidualBlock(
                name=f"layer{stage + 1}.{layer // 3}", stage=stage, layer=layer, droppable=drop, reason=reason
            )
        )
    return tuple(found)


def network(
    name: str = "resnet38",
    number: int = 40,
    block: tuple[int, int] | None = (FIRST, LAST),
    *,
    seed: int = 0,
    **more: Any,
) -> tuple[LayersOf, dict[str, np.ndarray]]:
    """Make one network with everything, and its arrays by their own names."""
    rng = np.random.default_rng([seed, number, 7])
    arrays = matrices(number, block, seed=seed)
    at = np.arange(number)
    inside = np.zeros(number, bool) if block is None else (at >= block[0]) & (at <= block[1])
    first = np.where(inside, 0.78, 0.12 + 0.08 * at / number)
    share = np.stack([first, (1 - first) * 0.3, (1 - first) * 0.15], axis=1)
    share[3] = np.nan
    scores = rng.normal(size=(number, HELD))
    scores[:, :4] *= 6
    scores /= np.linalg.norm(scores, axis=1, keepdims=True)
    probe = 0.25 + 0.6 * (1 - np.exp(-at / 12)) - np.where(inside & (at % 3 != 0), 0.1, 0)
    probe[3] = np.nan
    blocks = residual_blocks(number)
    alone = np.array([0.895 if b.droppable else 0.8 for b in blocks]) - rng.uniform(0, 0.004, len(blocks))
    ends = np.empty(len(blocks))
    for k in reversed(range(len(blocks))):
        last = k == len(blocks) - 1 or blocks[k + 1].stage != blocks[k].stage
        ends[k] = (0.9 if last else ends[k + 1]) - (0.004 if blocks[k].droppable else 0.07)
    for values in (alone, ends):
        np.clip(values, 0.1, 1, out=values)
        values[[k for k, b in enumerate(blocks) if b.reason]] = np.nan
    random = np.stack([0.9 - 0.06 * np.arange(1, len(blocks) + 1) * (1 + 0.1 * r) for r in range(3)])
    arrays |= {
        "pc_share": share,
        "pc_scores": scores,
        "held": np.arange(HELD) * 3,
        "norms": np.abs(rng.normal(8, 1, (number, HELD))),
        "probe": probe,
        "probe_low": probe - 0.03,
        "probe_high": probe + 0.03,
        "drop_stage_end": ends,
        "drop_stage_end_low": ends - 0.02,
        "drop_stage_end_high": ends + 0.02,
        "drop_leave_one_out": alone,
        "drop_leave_one_out_low": alone - 0.02,
        "drop_leave_one_out_high": alone + 0.02,
        "drop_random": np.clip(random, 0, 1),
    }
    free = sum(block.reason is None for block in blocks)
    found = LayersOf(
        name=name,
        fingerprint=f"{seed:064x}",
        accuracy=0.9 - 0.002 * seed,
        layers=layers(number, hostile=seed == 0),
        skipped=(Skipped(name="aux.head", reason="never runs on these examples"),),
        blocks=()
        if block is None
        else (
            Block(
                stratum="all",
                first=block[0],
                last=block[1],
                layers=block[1] - block[0] + 1,
                share=(block[1] - block[0] + 1) / number,
                mean=0.97,
                low=0.95,
                contrast=0.41,
                first_pc_share=0.78,
                first_pc_share_outside=0.15,
                first_pc_cosine=0.96,
                without_first_pc=0.42,
                without_dominant=0.51,
                sentence=f"Layers {block[0]} to {block[1]} of {number} are nearly the same (CKA .97 on average).",
            ),
        ),
        dominant=Dominant(
            share=4 / HELD,
            layer=25 if number > 25 else number - 1,
            examples=(0, 3, 6, 9),
            variance=0.44,
            stability=0.83,
            chance=0.03,
        ),
        probing=Probing(
            train=800, test=400, penalty=dict.fromkeys(range(number), 1e-3), saturation=22 % number, chance=0.1
        ),
        deletion=Deletion(
            blocks=blocks,
            metric="accuracy",
            plain=0.9,
            examples=1000,
            margin=0.01,
            droppable=4,
            verified=1000,
            lost=0.004,
            lost_high=0.009,
        ),
        depth=Depth(layers=13, distinct=9, sufficient=8, residual_blocks=free, droppable=min(4, free)),
        neighbors_k=10,
        warnings=(
            "1 % of the examples carry 44 % of the variance of 12 layers: the standard error is too small there",
        ),
    )
    return found.model_copy(update=more), arrays


def pictures(number: int) -> np.ndarray:
    """Make small color gradients with a spot each."""
    y, x = np.mgrid[:32, :32]
    images = np.zeros((number, 32, 32, 3), np.uint8)
    for k in range(number):
        images[k, ..., 0] = (x * 8 + 30 * k) % 256
        images[k, ..., 1] = y * 7
        images[k, ..., 2] = 255 * (((x - 6 - 4 * k % 20) ** 2 + (y - 16) ** 2) < 40)
    return images


def assemble(networks: tuple[LayersOf, ...], arrays: dict[str, np.ndarray], **more: Any) -> LayersReading:
    fields: dict[str, Any] = {
        "origin": Origin(
            data="cifar10 (test)",
            data_fingerprint="d" * 64,
            seed=0,
            device="cpu",
            versions={"netcaliper": "0.1.0", "torch": "2.13.0"},
        ),
        "estimator": Estimator(
            name="minibatch debiased linear CKA",
            batch=256,
            batches=8,
            passes=4,
            examples=2048,
            held=HELD,
            features="flatten",
            precision="float32",
            chosen="every operation",
        ),
        "networks": networks,
        "arrays": arrays,
        "cost": Cost(seconds={"compare": 12.5}, passes=4.0),
    }
    return LayersReading(**(fields | more))


def keyed(place: int | str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{place}/{name}": array for name, array in arrays.items()}


def one(number: int = 40) -> LayersReading:
    """Make one network with everything, the twin beside it."""
    ours, arrays = network(number=number)
    twin, theirs = network(number=number, block=None, seed=1, accuracy=0.1, deletion=None, warnings=(), dominant=None)
    theirs |= {name: 0.2 + 0.3 * theirs[name] for name in ("probe", "probe_low", "probe_high", "pc_share")}
    theirs = {name: array for name, array in theirs.items() if not name.startswith("drop_")}
    return assemble(
        (ours,),
        keyed(0, arrays) | keyed("twin", theirs) | {"images": pictures(6)},
        twin=twin,
        twin_kind="factory",
        pictured=(0, 3, 6, 9, 12, 15),
        warnings=("the last batch had 2 examples and was left out",),
    )


def deep(number: int) -> LayersReading:
    return one(number)


def several() -> LayersReading:
    """Make two networks of different depth, and what lies between them."""
    a, first = network("resnet38", 40, seed=0)
    b, second = network("resnet26", 28, None, seed=2)
    rows, columns = np.linspace(0, 1, 40), np.linspace(0, 1, 28)
    cross = np.exp(-np.abs(rows[:, None] - columns) * 4) - 0.1
    cross[FIRST : LAST + 1] *= 0.2
    crossing = Crossing(
        first=0, second=1, best=tuple(int(i) for i in cross.argmax(1)), matched=None, inside=0.11, outside=0.62
    )
    between = Agreement(
        first=0,
        second=1,
        agreement=Share(value=0.871, low=0.855, high=0.885, over=OVER, sample=2048),
        both_wrong=0.41,
        same_wrong=0.66,
        kappa=0.52,
        churn=0.093,
        logit_distance=0.18,
    )
    arrays = keyed(0, first) | keyed(1, second)
    arrays |= {"cross/0/cka": cross, "cross/0/standard_error": np.full_like(cross, 0.006)}
    return assemble((a, b), arrays, crossings=(crossing,), agreements=(between,))


def groups(seeds: int = 3, examples: int = 2048) -> LayersReading:
    """Make two groups of networks that differ in their seeds, with classes and superclasses."""
    rng = np.random.default_rng(5)
    networks, arrays, agreements = [], {}, []
    for k in range(2 * seeds):
        name = "deep" if k < seeds else "wide"
        found, own = network(
            f"{name} seed {k % seeds}", 16, None, seed=k + 1, dominant=None, deletion=None, probing=None
        )
        networks.append(found.model_copy(update={"accuracy": 0.9 + 0.002 * (k % seeds)}))
        arrays |= keyed(k, {"cka": own["cka"], "standard_error": own["standard_error"]})
    for i in range(2 * seeds):
        for j in range(i + 1, 2 * seeds):
            value = (0.9 if (i < seeds) == (j < seeds) else 0.86) - 0.002 * (j - i)
            agreements.append(
                Agreement(
                    first=i,
                    second=j,
                    agreement=Share(value=value, low=value - 0.02, high=value + 0.02, over=OVER, sample=examples),
                    kappa=0.5,
                    churn=0.08,
                    logit_distance=0.2,
                )
            )
    hard = rng.uniform(size=examples)
    rights = [
        np.round(np.clip(hard * 1.6 + rng.normal(0, spread, examples), 0, 1) * seeds) / seeds for spread in (0.2, 0.3)
    ]
    classes = tuple(
        ClassDifference(
            name="<b>cat</b>" if c == 0 else f"class {c}",
            examples=200,
            first=0.9 - 0.01 * c,
            second=0.88,
            difference=0.02 - 0.01 * c,
            p=min(0.002 * (1 + c) ** 2, 1.0),
            holm=min(0.02 * (1 + c) ** 2, 1.0),
            fdr=min(0.01 * (1 + c) ** 2, 1.0),
            permutation=0.1,
        )
        for c in range(10)
    )
    superclasses = tuple(
        found.model_copy(update={"name": f"super {c}", "classes": 5}) for c, found in enumerate(classes[:2])
    )
    difference = GroupDifference(
        first="deep",
        second="wide",
        sizes=(seeds, seeds),
        equivalence=Equivalence(difference=0.21, low=-0.2, high=0.62, margin=1.0, p=0.004, equivalent=True),
        spread=ExampleSpread(
            observed=0.21, chance=0.15, split_half={"deep": 0.151, "wide": 0.149}, systematic=0.147, low=0.12, high=0.17
        ),
        classes=classes,
        superclasses=superclasses,
        reasons=("superclass dogs: 1 network has no example of it",),
    )
    made = tuple(
        Group(
            name=name,
            networks=tuple(range(k * seeds, (k + 1) * seeds)),
            accuracy=Share(value=0.902, low=0.899, high=0.905, over="95 % t interval over networks", sample=seeds),
            ensemble=0.921,
            seed_variance=0.31,
            agreement=0.897,
        )
        for k, name in enumerate(("deep", "wide"))
    )
    arrays |= {f"group/{k}/right": right for k, right in enumerate(rights)}
    return assemble(tuple(networks), arrays, groups=made, agreements=tuple(agreements), differences=(difference,))


def bare() -> LayersReading:
    """Make what is always there: one network, one matrix, nothing else."""
    found, arrays = network(
        "mlp", 5, None, seed=3, dominant=None, deletion=None, probing=None, skipped=(), accuracy=None, warnings=(),
        neighbors_k=None, depth=Depth(layers=5, distinct=5),
    )  # fmt: skip
    return assemble((found,), keyed(0, {"cka": arrays["cka"]}))


def assert_same(a: LayersReading, b: LayersReading) -> None:
    """Compare two readings, arrays and cost included."""
    assert a.model_dump() == b.model_dump()
    assert a.cost == b.cost
    assert set(a.arrays) == set(b.arrays)
    for key, array in a.arrays.items():
        assert array.dtype == b.arrays[key].dtype
        np.testing.assert_array_equal(array, b.arrays[key])
