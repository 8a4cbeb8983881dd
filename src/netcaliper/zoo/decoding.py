"""What an encoder-decoder writes: the most likely next token, again and again."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from netcaliper.zoo.subwords import END, START
from netcaliper.zoo.translation import Pairs

GROWTH, MARGIN = 1.5, 8
"""A translation ends at the latest after ``1.5 source + 8`` tokens, more than any of the references needs."""


@torch.no_grad()
def greedy(model: nn.Module, pairs: Pairs, *, batch_size: int = 128) -> list[str]:
    """Return what the network writes for every source, in the order of the examples.

    Each next token is the one with the largest logit, until ``END``, ``1.5`` times the tokens of the source and 8 more,
    or ``pairs.options.length`` tokens. Sentences of about one length run together and leave when they end. The network
    is called as it is (nothing is kept between tokens), so that any that returns logits can be decoded; in eval mode.

    Args:
        model: takes the inputs of ``pairs`` by name and returns logits ``[batch, target, vocabulary]``.
        pairs: whose sources are translated; their references are not read.
        batch_size: sentences that run together.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        lengths = pairs.source_lengths()
        written: dict[int, list[int]] = {}
        order = np.argsort(lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            limits = np.minimum(pairs.options.length, (GROWTH * lengths[rows]).astype(np.int64) + MARGIN)
            written |= zip(rows.tolist(), _written(model, pairs.batch(rows), torch.from_numpy(limits)), strict=True)
    finally:
        for module, training in modes.items():
            module.training = training
    return pairs.subwords.texts([written[row] for row in range(len(lengths))])


def _written(model: nn.Module, batch: dict[str, Tensor], limits: Int[Tensor, " n"]) -> list[list[int]]:
    """Return the tokens that follow ``START``, at most ``limits`` of them."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    source, seen = batch["input_ids"].to(device), batch["attention_mask"].to(device)
    limits = limits.to(device)
    going = torch.arange(len(source), device=device)
    target = torch.full((len(source), 1), START, device=device)
    ended: list[list[int]] = [[] for _ in range(len(source))]
    while len(going):
        logits = model(
            input_ids=source[going],
            attention_mask=seen[going],
            decoder_input_ids=target,
            decoder_attention_mask=torch.ones_like(target),
        )
        chosen = logits[:, -1].argmax(1)
        target = torch.cat([target, chosen[:, None]], 1)
        over = (chosen == END) | (target.shape[1] > limits[going])
        for row, tokens in zip(going[over].tolist(), target[over, 1:].tolist(), strict=True):
            ended[row] = tokens
        going, target = going[~over], target[~over]
    return ended
