"""Padding: which positions of a value are tokens, and which are there only to fill up a batch.

The inputs ``attention_mask`` and ``decoder_attention_mask`` tell it of the inputs. Which axis of a value in the graph
holds the same tokens is read off its sizes: it is the axis whose size is written with the symbol of the mask's length.
A graph that is bound to one length has numbers instead; there an axis of exactly that length is taken.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Bool
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node
from torch.utils import _pytree as pytree

from netcaliper.trace.axes import Size, batch_sizes, by_example, input_shapes, size_of, symbols_of
from netcaliper.trace.batches import DECODER, MASKS, Batch
from netcaliper.trace.elementwise import find_regions


@dataclass(frozen=True)
class _Tokens:
    """One sequence of tokens: that of an encoder (or of the only model there is), or that of a decoder.

    Attributes:
        mask: name of the input that tells its padding, ``None`` if there is none.
        nodes: everything in the graph that depends on it.
        lengths: what the graph writes for its length.
    """

    mask: str | None
    nodes: frozenset[Node]
    lengths: frozenset[Size]


@dataclass(frozen=True)
class _Place:
    """Where a value holds the tokens of a mask.

    Attributes:
        mask: name of the mask.
        axis: the axis, which may be the one that holds the batch too; ``None`` if it could not be found.
    """

    mask: str
    axis: int | None


class Padding:
    """Tells the padding of any value of one graph.

    Args:
        exported: the graph.
        batch: that it was traced on.
    """

    def __init__(self, exported: ExportedProgram, batch: Batch) -> None:
        self._program, self._batch = exported, batch
        self._shapes = input_shapes(exported)
        self._examples = batch_sizes(self._shapes) or frozenset({batch.size})
        self._places: dict[tuple[str, int, int], _Place | None] = {}

    # ---- what measures ask

    def valid(
        self, batch: Batch, node: str, axis: int, batch_axis: int, shape: Sequence[int]
    ) -> Bool[Tensor, "examples positions"] | str | None:
        """Return which positions of a value are no padding.

        Args:
            batch: that is run.
            node: name of the node that makes the value.
            axis: of its units or columns.
            batch_axis: its axis that holds (or is a multiple of) the batch.
            shape: of the value.

        Returns:
            The positions in the layout of ``Site.rows``; ``None`` if all are valid; or in words why it cannot be told.
        """
        place = self._place(node, axis % len(shape), batch_axis)
        mask = None if place is None else batch.mask(place.mask)
        if place is None or mask is None or bool(mask.all()):
            return None
        if place.axis is None:
            return (
                f"its positions are not the tokens of `{place.mask}` (downsampled, shifted or put in another order), "
                "so padding cannot be told from data; give examples without padding"
            )
        others = [a for a in range(len(shape)) if a not in (axis % len(shape), batch_axis)]
        layout = [1] * (1 + len(others))
        layout[0 if place.axis == batch_axis else 1 + others.index(place.axis)] = mask.shape[1]
        full = [shape[batch_axis] // batch.size, *(shape[a] for a in others)]
        return (mask != 0).reshape(batch.size, *layout).expand(batch.size, *full).reshape(batch.size, -1)

    def varies(self, node: str, axis: int, batch_axis: int) -> bool:
        """Tell whether examples may have different numbers of valid positions in a value."""
        made = self._nodes[node]
        symbols = frozenset().union(*(symbols_of(size_of(size)) for size in made.meta["val"].shape))
        for tokens in self._tokens:
            if made in tokens.nodes and any(symbols & symbols_of(length) for length in tokens.lengths):
                return True
        return self._place(node, axis % len(made.meta["val"].shape), batch_axis) is not None

    # ---- the graph

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self._program.graph.nodes}

    @cached_property
    def _tokens(self) -> tuple[_Tokens, ...]:
        """The sequences of the model: the decoder's first."""
        inputs: dict[str, tuple[str, Tensor]] = {}
        leaves = [(name, leaf) for name, value in self._batch.named.items() for leaf in pytree.tree_leaves(value)]
        for placeholder, (name, value) in zip(self._program.graph_signature.user_inputs, leaves, strict=True):
            if isinstance(value, Tensor) and value.dim() in (2, 3):
                inputs[str(placeholder)] = (name, value)
        found = []
        for mask in reversed(MASKS):
            mine = {p: v for p, (name, v) in inputs.items() if name.startswith(DECODER) == mask.startswith(DECODER)}
            found.append(self._sequence(mask if self._batch.mask(mask) is not None else None, mine))
        return tuple(tokens for tokens in found if tokens is not None)

    def _sequence(self, mask: str | None, inputs: Mapping[str, Tensor]) -> _Tokens | None:
        """Return the sequence that inputs hold, by the length of its mask or of its token ids."""
        ids = [value for value in inputs.values() if value.dim() == 2 and not value.is_floating_point()]
        given = None if mask is None else self._batch.mask(mask)
        length = ids[0].shape[1] if given is None and ids else None if given is None else given.shape[1]
        axes = {p: next((a for a, n in enumerate(v.shape) if a and n == length), None) for p, v in inputs.items()}
        axes = {placeholder: axis for placeholder, axis in axes.items() if axis is not None}
        if not axes:
            return None
        lengths = frozenset(size_of(self._shapes[p][axis]) for p, axis in axes.items())
        regions = find_regions(list(self._nodes.values()), frozenset(axes))
        return _Tokens(mask, regions.depends, lengths)

    def _place(self, node: str, axis: int, batch_axis: int) -> _Place | None:
        key = node, axis, batch_axis
        if key not in self._places:
            self._places[key] = self._find(self._nodes[node], axis, batch_axis)
        return self._places[key]

    def _find(self, node: Node, axis: int, batch_axis: int) -> _Place | None:
        """Find the tokens in a value: where a decoder reads an encoder both may be there, and the decoder's are."""
        tokens = [t for t in self._tokens if node in t.nodes]
        if not any(t.mask for t in tokens):
            return None
        sizes = {a: size_of(size) for a, size in enumerate(node.meta["val"].shape) if a != axis}
        for sequence in tokens:
            axes = self._axes(sizes, batch_axis, sequence)
            if not axes:
                continue
            if sequence.mask is None:
                return None
            told = len(axes) == 1 and by_example(node, batch_axis, self._examples)
            return _Place(sequence.mask, axes[0] if told else None)
        for sequence in tokens:
            if sequence.mask is not None and self._spread(sizes, batch_axis, sequence):
                return _Place(sequence.mask, None)
        return None

    def _axes(self, sizes: Mapping[int, Size], batch_axis: int, tokens: _Tokens) -> list[int]:
        """Return the axes that hold the tokens, one by one or in a row for all examples."""
        flat = _products(self._examples, tokens.lengths)
        return [a for a, size in sizes.items() if size in (flat if a == batch_axis else tokens.lengths)]

    def _spread(self, sizes: Mapping[int, Size], batch_axis: int, tokens: _Tokens) -> bool:
        """Tell whether the positions of a value depend on the length in another way.

        In a graph of one length it cannot be seen, so that all values with several positions count.
        """
        symbols = frozenset().union(*map(symbols_of, tokens.lengths))
        if any(symbols_of(size) & symbols for size in sizes.values()):
            return True
        several = sizes[batch_axis] not in self._examples
        several |= any(size != 1 for a, size in sizes.items() if a != batch_axis)
        return several and not all(map(symbols_of, tokens.lengths))


def _products(examples: Iterable[Size], lengths: Iterable[Size]) -> frozenset[Size]:
    lengths = list(lengths)
    return frozenset(n * length for n in examples for length in lengths)
