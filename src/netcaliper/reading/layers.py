"""What ``nc.layers`` and ``nc.compare`` leave behind: what the layers of networks say, and how networks differ.

On disk both are folders as a reading is: ``reading.json``, ``arrays.safetensors`` and ``cost.json``.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from netcaliper.reading.schema import Cost, Record, Share, Skipped

LAYERS_VERSION = 1

Sweep = Literal["stage_end", "leave_one_out", "random"]


class Layer(Record):
    """One compared value of a network.

    Attributes:
        name: stable between runs: module path, operation and call number.
        op: the operation that makes it, e.g. ``conv2d``, ``batch_norm``, ``relu``, ``add``; ``input`` for the input.
        kind: ``stream`` (a residual sum, and an activation right after one) or ``inner``; layers of one kind are
            comparable with each other where residual sums make a checkerboard.
        stage: number of the stage, from 0: consecutive layers whose residual stream has one shape.
        shape: of one example.
        reason: why its row of a matrix is a gap, in words.
    """

    name: str
    op: str
    kind: Literal["stream", "inner"]
    stage: int
    shape: tuple[int, ...]
    reason: str | None = None


class Block(Record):
    """A block structure: contiguous layers whose representations are nearly the same, in contrast to the rest.

    Attributes:
        stratum: which layers were looked at: ``all`` or ``stream``.
        first, last: indices of its first and last layer among all layers.
        layers: number of layers of the stratum inside.
        share: of the layers of the stratum.
        mean: mean CKA of pairs inside; of pairs of stream layers where these judged (so are the next two).
        low: 10 % quantile of the pairs inside.
        contrast: mean inside minus mean of pairs at equal distance with one layer inside and one outside.
        first_pc_share: mean share of variance of the first principal component inside.
        first_pc_share_outside: the same outside.
        first_pc_cosine: mean squared cosine of the first principal components of two layers inside.
        without_first_pc: mean CKA of pairs inside when every layer lost its first principal component.
        without_dominant: mean CKA of pairs inside without the dominant examples.
        sentence: all of it in words.
    """

    stratum: Literal["all", "stream"]
    first: int
    last: int
    layers: int
    share: float
    mean: float
    low: float
    contrast: float
    first_pc_share: float | None = None
    first_pc_share_outside: float | None = None
    first_pc_cosine: float | None = None
    without_first_pc: float | None = None
    without_dominant: float | None = None
    sentence: str = ""


class Dominant(Record):
    """The examples that carry the first principal component.

    Attributes:
        share: of the examples that counts as dominant.
        layer: index of the layer they were taken at (the middle of the block, or where the first component is largest).
        examples: their indices in the data, most dominant first.
        variance: share of the layer's variance that lies on them.
        stability: mean Jaccard overlap of the sets of two layers inside the block (of all layers without a block).
        chance: what it would be for sets at random.
    """

    share: float
    layer: int
    examples: tuple[int, ...]
    variance: float
    stability: float
    chance: float


class Probing(Record):
    """Linear classifiers on the layers; the accuracies are arrays.

    Attributes:
        train, test: number of examples; a part of ``train`` chose the penalty.
        missing: classes that no example to fit on has; their examples count as wrong.
        penalty: the L2 penalty that was chosen, by layer index.
        saturation: index of the first layer whose held-out accuracy is within one standard error of the best.
        chance: share of the most frequent class among the test examples.
    """

    train: int
    test: int
    missing: tuple[int, ...] = ()
    penalty: dict[int, float] = Field(default_factory=dict)
    saturation: int | None = None
    chance: float


class ResidualBlock(Record):
    """A residual block that can be dropped: its branch is overridden by zero.

    Attributes:
        name: of its residual sum.
        stage: number of its stage.
        layer: index of its residual sum among the layers, ``None`` if that was not compared.
        droppable: yes if the one-sided 95 % bound of its loss on the sweep examples is within the margin, no if the
            lower bound is beyond it, ``None`` if neither.
        reason: why it cannot be dropped at all (its shortcut changes the shape), in words.
    """

    name: str
    stage: int
    layer: int | None = None
    droppable: bool | None = None
    reason: str | None = None


class Deletion(Record):
    """Residual blocks dropped.

    Attributes:
        blocks: all residual blocks, in order.
        metric: ``accuracy`` with labels, else ``agreement`` with the whole network.
        plain: the metric with nothing dropped.
        examples: of the sweeps (none of them is a verify example).
        margin: share of the metric that may be lost.
        droppable: how many blocks can go together, chosen on sweep examples and confirmed on verify examples;
            ``None`` with too few of these to say.
        verified: number of verify examples.
        lost, lost_high: what they lose there, with its one-sided 95 % bound.
        needed: examples that a bound within the margin takes.
        sentence: all of it in words.
    """

    blocks: tuple[ResidualBlock, ...]
    metric: Literal["accuracy", "agreement"]
    plain: float
    examples: int
    margin: float
    droppable: int | None = None
    verified: int = 0
    lost: float | None = None
    lost_high: float | None = None
    needed: int = 0
    sentence: str = ""


class Depth(Record):
    """How deep the network really is, in four numbers; ``None`` where it was not asked or cannot be said.

    Attributes:
        layers: layers of the stratum that the others are counted in (residual sums if there are any, else all).
        distinct: layers after every block of nearly equal ones counts once.
        sufficient: layers up to the earliest whose linear probe is as good as the best.
        residual_blocks: residual blocks that could be dropped at all.
        droppable: how many of them can go.
        sentence: all of it in words.
    """

    layers: int
    distinct: int
    sufficient: int | None = None
    residual_blocks: int | None = None
    droppable: int | None = None
    sentence: str = ""


class LayersOf(Record):
    """What the layers of one network say.

    Arrays (float64) by name, L = layers, k = components, n = held examples, B = residual blocks:

    ======================  =========  ====================================================================
    ``cka``                 [L, L]     minibatch debiased linear CKA; NaN for gaps; may be negative
    ``standard_error``      [L, L]     delete-one-batch jackknife within a pass; NaN below 8 batches
    ``partition_error``     [L, L]     standard deviation over passes / sqrt(passes)
    ``cka_normalized``      [L, L]     of activations with norm 1 for every example
    ``cka_without_pc``      [L, L]     each layer without its first principal component
    ``cka_without_dominant`` [L, L]    without the dominant examples
    ``procrustes``          [L, L]     orthogonal Procrustes distance, 0 for equal, 2 for nothing in common
    ``neighbors``           [L, L]     mutual k-nearest-neighbor overlap; chance is ``k / (n - 1)``
    ``pc_share``            [L, k]     share of variance of the first principal components, largest first
    ``pc_cosine``           [L, L]     squared cosine of the first principal components, in example space
    ``pc_scores``           [L, n]     first principal component in example space (unit vector, sign arbitrary)
    ``held``                [n]        indices of the held examples in the data
    ``norms``               [L, n]     norm of each centered example
    ``probe``               [L]        held-out accuracy of a linear classifier
    ``probe_low``           [L]        95 % Clopper-Pearson interval
    ``probe_high``          [L]        the same
    ``drop_stage_end``      [B]        the metric with the blocks of a stage dropped from its end up to this one
    ``drop_leave_one_out``  [B]        the metric with this block dropped alone
    ``drop_random``         [R, B]     the metric with the first 1 .. B blocks of a random order dropped, by order
    ``drop_random_order``   [R, B]     these orders (indices of blocks, -1 behind the last)
    ``drop_together``       [B]        the metric on sweep examples with the first 1 .. B blocks of the chosen order
    ``drop_together_order`` [B]        that order
    ``drop_*_low``, ``*_high``         95 % intervals of the first two; NaN for blocks that cannot be left out
    ======================  =========  ====================================================================

    Attributes:
        name: of the network.
        fingerprint: of its weights.
        accuracy: on the examples, if they have labels.
        layers: what was compared.
        skipped: what was not, by name, with the reason.
        blocks: block structures, largest first.
        dominant: the dominant examples.
        probing, deletion, depth: see there.
        neighbors_k: k of the mutual nearest neighbors.
        warnings: in words.
    """

    name: str
    fingerprint: str
    accuracy: float | None = None
    layers: tuple[Layer, ...]
    skipped: tuple[Skipped, ...] = ()
    blocks: tuple[Block, ...] = ()
    dominant: Dominant | None = None
    probing: Probing | None = None
    deletion: Deletion | None = None
    depth: Depth
    neighbors_k: int | None = None
    warnings: tuple[str, ...] = ()


class Crossing(Record):
    """Layers of one network against layers of another one.

    Array ``cka`` [L1, L2] of the pair, its ``standard_error`` and ``partition_error``.

    Attributes:
        first, second: indices of the networks.
        best: for every layer of the first the layer of the second with the largest CKA, -1 for a gap.
        matched: share of layers (of equal architectures) whose best match is the layer of the same name.
        inside: mean CKA of layers at equal relative depth that lie inside a block of either network.
        outside: the same of layers outside of all blocks.
        dominant_overlap: Jaccard overlap of the dominant examples of both networks.
        dominant_chance: what it would be for sets at random.
    """

    first: int
    second: int
    best: tuple[int, ...]
    matched: float | None = None
    inside: float | None = None
    outside: float | None = None
    dominant_overlap: float | None = None
    dominant_chance: float | None = None


class Agreement(Record):
    """Predictions of two networks on the same examples.

    Attributes:
        first, second: indices of the networks.
        agreement: share of examples with the same top-1 class, with its interval.
        both_wrong: share of examples that both get wrong among those that either does (overlap of errors).
        same_wrong: share of examples that both get wrong in the same way among those that both do.
        kappa: Cohen's kappa of being right (error consistency).
        churn: share of examples whose correctness differs.
        logit_distance: ``E||a - b||^2 / (E||a||^2 + E||b||^2)`` of logits centered by example.
    """

    first: int
    second: int
    agreement: Share
    both_wrong: float | None = None
    same_wrong: float | None = None
    kappa: float | None = None
    churn: float | None = None
    logit_distance: float


class Equivalence(Record):
    """Welch's two one-sided tests of equal mean accuracy (Schuirmann 1987), the margin set beforehand.

    Attributes:
        difference: mean accuracy of the first group minus the second, in points of a percent.
        low, high: 90 % interval, which lies within the margin exactly if the test is passed at 5 %.
        margin: in points.
        p: the larger p value of the two tests.
        equivalent: ``p < .05``.
    """

    difference: float
    low: float
    high: float
    margin: float
    p: float
    equivalent: bool


class ExampleSpread(Record):
    """How per-example accuracies of two groups of seeds differ, beside what chance alone gives.

    ``Var_i(pA - pB)``, minus its expectation from seeds, ``mean_i(pA (1 - pA) / (nA - 1) + pB (1 - pB) / (nB - 1))``
    less ``s_A^2 / nA + s_B^2 / nB`` with s^2 the variance of accuracies over networks.

    Attributes:
        observed: standard deviation over examples of ``pA - pB``.
        chance: its expectation from seeds alone, analytic.
        split_half: the same measured between random halves of one group, scaled to the group sizes; by group.
        systematic: square root of observed variance minus chance variance (minus the root if negative).
        low, high: 95 % bootstrap interval of ``systematic`` over seeds; NaN below 5 networks in a group.
    """

    observed: float
    chance: float
    split_half: dict[str, float] = Field(default_factory=dict)
    systematic: float
    low: float
    high: float


class ClassDifference(Record):
    """One class (or superclass) in two groups, the network as the unit.

    Attributes:
        name: of the class.
        classes: how many classes it has (1 but for a superclass).
        examples: of the class.
        first, second: mean accuracy of either group.
        difference: first minus second.
        p: Welch's t test; NaN, as ``holm`` and ``fdr``, where counts vary in neither group but differ.
        holm: adjusted for all classes (Holm 1979).
        fdr: adjusted for the false discovery rate (Benjamini and Hochberg 1995).
        permutation: share of relabelings of the networks whose difference is larger, ties counted half.
    """

    name: str
    classes: int = 1
    examples: int
    first: float
    second: float
    difference: float
    p: float
    holm: float
    fdr: float
    permutation: float


class GroupDifference(Record):
    """Two groups of seeds: same accuracy, different answers?

    Attributes:
        first, second: names of the groups.
        sizes: networks in each.
        equivalence: whether their mean accuracies are the same.
        spread: per-example differences beside chance.
        classes: per class, smallest p first.
        superclasses: the same of a mapping from classes to superclasses.
        reasons: what was not tested, in words.
    """

    first: str
    second: str
    sizes: tuple[int, int]
    equivalence: Equivalence | None = None
    spread: ExampleSpread | None = None
    classes: tuple[ClassDifference, ...] = ()
    superclasses: tuple[ClassDifference, ...] = ()
    reasons: tuple[str, ...] = ()


class Group(Record):
    """Networks that differ in their seed only.

    Array ``group/<index>/right`` [n]: share of the group's networks that get each example right.

    Attributes:
        name: as given.
        networks: indices.
        accuracy: mean over networks, with its interval over networks.
        ensemble: accuracy of the mean of the networks' probabilities.
        seed_variance: mean over examples of the unbiased variance of centered logits over networks.
        agreement: mean top-1 agreement of two networks of the group: the noise floor of every comparison.
    """

    name: str
    networks: tuple[int, ...]
    accuracy: Share | None = None
    ensemble: float | None = None
    seed_variance: float | None = None
    agreement: float | None = None


class Estimator(Record):
    """How representations were compared: printed beside every matrix.

    Attributes:
        name: e.g. ``minibatch debiased linear CKA``.
        batch: examples a batch n.
        batches: in a pass.
        passes: reshuffled passes.
        examples: N.
        held: examples that are held for what needs them all at once.
        features: ``flatten``, ``pool`` or ``tokens``.
        precision: of the Gram matrices.
        chosen: which layers were asked for.
    """

    name: str
    batch: int
    batches: int
    passes: int
    examples: int
    held: int
    features: str
    precision: str
    chosen: str


class Origin(Record):
    """On what, how and by which versions."""

    data: str
    data_fingerprint: str
    seed: int
    device: str
    versions: dict[str, str]


class Trajectory(Record):
    """One network over its training: checkpoints against the final one, which is the first network of the record.

    Arrays, C = checkpoints, L = layers of the final network:

    ===========================  ======  =============================================================================
    ``training/cka``             [C, L]  CKA of each layer with the SAME layer of the final network; NaN for gaps
    ``training/cka_error``       [C, L]  its standard error; NaN below 8 batches, and of the final with itself
    ``training/pc_share``        [C, L]  share of variance of the first principal component
    ``training/dominant``        [C, L]  Jaccard overlap of the dominant examples with those of the final network
    ``training/blocks``          [C]     share of the layers that lie in a block structure of the checkpoint itself
    ``training/excess``          [C]     contrast of these blocks, weighted by their size; NaN without one
    ``training/map_difference``  [C]     mean absolute difference of the checkpoint's own CKA matrix to the final's
    ``training/ntk``             [C]     distance of the tangent kernel to that of the checkpoint before, NaN for the
                                         first; only where it was asked for
    ===========================  ======  =============================================================================

    Attributes:
        checkpoints: names, in the order of training.
        final: index of the one that the others are compared with.
        accuracy: of each on the examples, ``None`` without labels.
        settled: for every layer the index of the first checkpoint from which on its CKA with the final network stays at
            least ``level``; ``None`` for gaps.
        level: that CKA.
        dominant_share: of the examples that counts as dominant.
        chance: the Jaccard overlap of two random sets of that size.
        sentence: all of it in words.
    """

    checkpoints: tuple[str, ...]
    final: int
    accuracy: tuple[float | None, ...]
    settled: tuple[int | None, ...]
    level: float
    dominant_share: float
    chance: float
    sentence: str = ""


class LayersRecord(Record):
    """Everything that one ``nc.layers`` or ``nc.compare`` left behind.

    Arrays: ``"<network>/<name>"`` as in ``LayersOf`` with the index of the network, ``"twin/<name>"``,
    ``"cross/<crossing>/<name>"``, ``"group/<group>/<name>"``, ``"training/<name>"`` as in ``Trajectory``, and
    ``"images"`` [m, height, width, 3], bytes: pictures of the examples in ``pictured`` where the data are images.

    Attributes:
        networks: one or more.
        twin: the untrained twin of the first network, when there is one network only.
        twin_kind: ``factory`` or ``shuffled``.
        crossings, agreements, groups, differences: of several networks.
        trajectory: the first network over its training.
        pictured: indices in the data of the examples in ``images``.
        warnings: in words.
    """

    schema_version: int = LAYERS_VERSION
    origin: Origin
    estimator: Estimator
    networks: tuple[LayersOf, ...]
    twin: LayersOf | None = None
    twin_kind: Literal["factory", "shuffled"] | None = None
    crossings: tuple[Crossing, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    groups: tuple[Group, ...] = ()
    differences: tuple[GroupDifference, ...] = ()
    trajectory: Trajectory | None = None
    pictured: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    cost: Cost = Field(default_factory=Cost, exclude=True)
    arrays: dict[str, np.ndarray] = Field(default_factory=dict, exclude=True, repr=False)

    def array(self, of: int | Literal["twin"], name: str) -> np.ndarray | None:
        """Return one array of one network, ``None`` if it was not taken."""
        return self.arrays.get(f"{of}/{name}")
