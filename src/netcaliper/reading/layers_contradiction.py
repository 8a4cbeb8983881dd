"""Whether a reading of layers fits together: checked before it is written and after it is opened."""

import re
from collections.abc import Iterator

import numpy as np

from netcaliper.reading.layers import Crossing, LayersOf, LayersRecord

ARRAY_KEY = re.compile(r"(?:(twin|0|[1-9][0-9]{0,6})|(cross|group)/(0|[1-9][0-9]{0,6}))/([a-z][a-z0-9_]{0,63})")
IMAGES = "images"
SQUARE = frozenset(
    {
        "cka", "standard_error", "partition_error", "cka_normalized", "cka_without_pc", "cka_without_dominant",
        "procrustes", "neighbors", "pc_cosine",
    }
)  # fmt: skip
PER_LAYER = frozenset({"probe", "probe_low", "probe_high"})
PER_LAYER_AND_EXAMPLE = frozenset({"pc_scores", "norms"})
PER_BLOCK = frozenset(
    {f"drop_{sweep}{end}" for sweep in ("stage_end", "leave_one_out") for end in ("", "_low", "_high")}
    | {"drop_together", "drop_together_order"}
)
ACROSS = frozenset({"cka", "standard_error", "partition_error"})
TRAINING = "training/"
PER_CHECKPOINT_AND_LAYER = frozenset({"cka", "cka_error", "pc_share", "dominant"})
PER_CHECKPOINT = frozenset({"blocks", "excess", "map_difference", "ntk"})


def contradiction(record: LayersRecord) -> str | None:
    """Return the first way in which a reading does not fit together, in words, or ``None``.

    Checked are that every index points at something, that the twin is beside one network, and that every array belongs
    to something in the reading and has its shape and type.
    """
    return next(_problems(record), None)


def _problems(record: LayersRecord) -> Iterator[str]:
    if not record.networks:
        yield "there is no network"
    if record.twin is not None and len(record.networks) != 1:
        yield f"there is a twin beside {len(record.networks)} networks, and it belongs to one"
    if (record.twin is None) != (record.twin_kind is None):
        yield "`twin` and `twin_kind` go together, and one of them is missing"
    for index, network in enumerate(record.networks):
        yield from _network(network, f"network {index}")
    if record.twin is not None:
        yield from _network(record.twin, "the twin")
    yield from _between(record)
    yield from _trajectory(record)
    yield from _arrays(record)


def _network(network: LayersOf, whose: str) -> Iterator[str]:
    layers = len(network.layers)
    names: set[str] = set()
    for layer in network.layers:
        if layer.name in names:
            yield f"two layers of {whose} are named {layer.name!r}"
        names.add(layer.name)
    for block in network.blocks:
        if not 0 <= block.first <= block.last < layers:
            yield f"a block of {whose} reaches from layer {block.first} to {block.last}, and there are {layers} layers"
    places = {"`dominant.layer`": network.dominant.layer if network.dominant else None}
    if network.probing is not None:
        places |= {"`probing.saturation`": network.probing.saturation}
        places |= {f"`probing.penalty` key {at}": at for at in network.probing.penalty}
    if network.deletion is not None:
        places |= {f"residual block {block.name!r}": block.layer for block in network.deletion.blocks}
    for what, at in places.items():
        if at is not None and not 0 <= at < layers:
            yield f"{what} of {whose} is layer {at}, and there are {layers} layers"


def _between(record: LayersRecord) -> Iterator[str]:
    networks = len(record.networks)
    for what, pairs in (("crossing", record.crossings), ("agreement", record.agreements)):
        for pair in pairs:
            for at in (pair.first, pair.second):
                if not 0 <= at < networks:
                    yield f"a {what} names network {at}, and there are {networks} networks"
    for crossing in record.crossings:
        rows, columns = _sizes(record, crossing)
        if len(crossing.best) != rows or not all(-1 <= best < columns for best in crossing.best):
            yield (
                f"the best matches of networks {crossing.first} and {crossing.second} do not fit their {rows} and "
                f"{columns} layers"
            )
    for group in record.groups:
        for at in group.networks:
            if not 0 <= at < networks:
                yield f"group {group.name!r} names network {at}, and there are {networks} networks"
    lengths = {
        right.size for k in range(len(record.groups)) if (right := record.arrays.get(f"group/{k}/right")) is not None
    }
    if len(lengths) > 1:
        yield f"array 'group/<group>/right' has {' and '.join(map(str, sorted(lengths)))} examples, by group"
    names = {group.name for group in record.groups}
    for difference in record.differences:
        for name in (difference.first, difference.second):
            if name not in names:
                yield f"a difference names group {name!r}, and there is none"


def _trajectory(record: LayersRecord) -> Iterator[str]:
    found = record.trajectory
    if found is None:
        return
    checkpoints, layers = len(found.checkpoints), len(record.networks[0].layers) if record.networks else 0
    if not 0 <= found.final < checkpoints:
        yield f"the final checkpoint is number {found.final}, and there are {checkpoints}"
    if len(found.accuracy) != checkpoints:
        yield f"there are {len(found.accuracy)} accuracies for {checkpoints} checkpoints"
    if len(found.settled) != layers or not all(at is None or 0 <= at <= found.final for at in found.settled):
        yield f"the checkpoints at which {layers} layers settled do not fit"


def _sizes(record: LayersRecord, crossing: Crossing) -> tuple[int, int]:
    return len(record.networks[crossing.first].layers), len(record.networks[crossing.second].layers)


def _arrays(record: LayersRecord) -> Iterator[str]:
    for key, array in record.arrays.items():
        if array.dtype.kind not in "fiub":
            yield f"array {key!r} has dtype {array.dtype}, and only numbers can be stored"
        elif key == IMAGES:
            yield from _images(record, array)
        else:
            yield from _array(record, key, array)
    if record.pictured and IMAGES not in record.arrays:
        yield f"array {IMAGES!r} is missing, and {len(record.pictured)} examples are pictured"


def _images(record: LayersRecord, array: np.ndarray) -> Iterator[str]:
    shape, pictured = array.shape, len(record.pictured)
    if array.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not all(shape):
        yield f"array {IMAGES!r} has dtype {array.dtype} and shape {shape}; expected are bytes [m, height, width, 3]"
    elif shape[0] != pictured:
        yield f"array {IMAGES!r} holds {shape[0]} pictures, and {pictured} examples are pictured"


def _training(record: LayersRecord, key: str, array: np.ndarray) -> Iterator[str]:
    if record.trajectory is None:
        yield f"array {key!r} belongs to checkpoints of a training, and there are none"
        return
    name = key.removeprefix(TRAINING)
    checkpoints, layers = len(record.trajectory.checkpoints), len(record.networks[0].layers)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(PER_CHECKPOINT, (checkpoints,))
    shapes |= dict.fromkeys(PER_CHECKPOINT_AND_LAYER, (checkpoints, layers))
    if name not in shapes:
        yield f"array key {key[:80]!r} is none of {', '.join(sorted(shapes))}"
    elif array.shape != shapes[name]:
        yield f"array {key!r} has shape {array.shape}, expected is {shapes[name]}"


def _array(record: LayersRecord, key: str, array: np.ndarray) -> Iterator[str]:
    if key.startswith(TRAINING):
        yield from _training(record, key, array)
        return
    found = ARRAY_KEY.fullmatch(key)
    if found is None:
        yield f"array key {key[:80]!r} is not of the form '<network>/<name>', 'cross/<number>/<name>' or the like"
        return
    network, between, number, name = found.groups()
    shape = array.shape
    expected: tuple[int | None, ...] | None = None
    if network is not None:
        if network == "twin" and record.twin is None:
            yield f"array {key!r} belongs to a twin, and there is none"
            return
        if network != "twin" and int(network) >= len(record.networks):
            yield f"array {key!r} belongs to network {network}, and there are {len(record.networks)} networks"
            return
        of = record.twin if network == "twin" else record.networks[int(network)]
        assert of is not None
        if name.startswith("drop_") and of.deletion is None:
            yield f"array {key!r} holds deletions, and the record has none there"
            return
        held = record.arrays.get(f"{network}/held")
        expected = _expected(of, name, None if held is None else held.size)
    elif between == "cross":
        if int(number) >= len(record.crossings):
            yield f"array {key!r} belongs to crossing {number}, and there are {len(record.crossings)}"
            return
        expected = _sizes(record, record.crossings[int(number)]) if name in ACROSS else None
    elif int(number) >= len(record.groups):
        yield f"array {key!r} belongs to group {number}, and there are {len(record.groups)}"
        return
    elif name == "right":
        expected = (None,)
    if expected is not None and (
        len(shape) != len(expected)
        or any(wanted not in (None, size) for wanted, size in zip(expected, shape, strict=True))
    ):
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        yield f"array {key!r} has shape {shape}, and [{wanted}] is expected"


def _expected(of: LayersOf, name: str, held: int | None) -> tuple[int | None, ...] | None:
    """Return the shape of an array of one network, ``None`` in it for any size; ``None`` for names of others."""
    layers = len(of.layers)
    blocks = len(of.deletion.blocks) if of.deletion else None
    if name in SQUARE:
        return (layers, layers)
    if name in PER_LAYER:
        return (layers,)
    if name in PER_LAYER_AND_EXAMPLE:
        return (layers, held)
    if name in PER_BLOCK:
        return (blocks,)
    return {
        "pc_share": (layers, None),
        "held": (None,),
        "drop_random": (None, blocks),
        "drop_random_order": (None, blocks),
    }.get(name)
