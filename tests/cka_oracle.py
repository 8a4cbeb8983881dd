"""Slow, obvious float64 answers to what the engine of layer comparisons computes cleverly."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

Gram = np.ndarray


def linear(x):
    """Return ``X X^T``, with no shift at all."""
    x = np.asarray(x, dtype=np.float64)
    return x @ x.T


def rbf(x, bandwidth=None):
    """Return ``exp(-|x_i - x_j|^2 / (2 s))``, one pair at a time; s is the median squared distance."""
    x = np.asarray(x, dtype=np.float64)
    n = len(x)
    distance = np.array([[np.sum((x[i] - x[j]) ** 2) for j in range(n)] for i in range(n)])
    if bandwidth is None:
        above = np.sort(distance[np.triu_indices(n, 1)])
        bandwidth = above[(len(above) - 1) // 2]  # of two middle ones the lower, as torch has it
    return np.exp(-distance / (2 * bandwidth))


def hsic1(k: Gram, l: Gram) -> float:  # noqa: E741
    """Return the unbiased HSIC of Song et al. (2012), written with traces as in the paper."""
    n = len(k)
    one = np.ones(n)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    first = np.trace(k @ l)
    second = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    third = 2 / (n - 2) * (one @ k @ l @ one)
    return float((first + second - third) / (n * (n - 3)))


def hsic1_by_tuples(k: Gram, l: Gram) -> float:  # noqa: E741
    """Return the same as a U-statistic: a mean over ordered pairs, triples and quadruples of different examples."""
    n = len(k)
    pairs = [k[i, j] * l[i, j] for i in range(n) for j in range(n) if i != j]
    triples = [k[i, j] * l[i, q] for i in range(n) for j in range(n) for q in range(n) if len({i, j, q}) == 3]
    quadruples = [
        k[i, j] * l[q, r]
        for i in range(n)
        for j in range(n)
        for q in range(n)
        for r in range(n)
        if len({i, j, q, r}) == 4
    ]
    return float(np.mean(pairs) + np.mean(quadruples) - 2 * np.mean(triples))


def hsic0(k: Gram, l: Gram) -> float:  # noqa: E741
    """Return the biased HSIC, ``tr(K H L H) / (n - 1)^2``."""
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return float(np.trace(k @ h @ l @ h) / (n - 1) ** 2)


def unbiased_of_features(x, y):
    """Return ``<U, V>``, n (n - 3) times the unbiased HSIC, from the features alone."""
    x, y = (np.asarray(v, dtype=np.float64) - np.mean(np.asarray(v, dtype=np.float64), 0) for v in (x, y))
    n, a, b = len(x), np.sum(x**2, 1), np.sum(y**2, 1)
    return np.sum((x.T @ y) ** 2) - n / (n - 2) * np.sum(a * b) + a.sum() * b.sum() / ((n - 1) * (n - 2))


def pairs_of(n: int) -> int:
    """Return the weight of a batch of n examples in an average over pairs of examples."""
    return n * (n - 3)


def cka(
    layers: Sequence[np.ndarray],
    batches: Sequence[np.ndarray],
    *,
    kernel: Callable[[np.ndarray], Gram] = linear,
    debiased: bool = True,
) -> np.ndarray:
    """Return minibatch CKA: averages of HSIC over batches first, weighted by pairs of examples, then the ratio.

    Args:
        layers: the features of every layer, one row an example.
        batches: of every batch the indices of its examples; those of fewer than 4 are left out.
        kernel: from features to a Gram matrix.
        debiased: HSIC_1, else HSIC_0 with weight ``(n - 1)^2``.
    """
    count = len(layers)
    total = np.zeros((count, count))
    for batch in batches:
        if len(batch) < 4:
            continue
        grams = [kernel(np.asarray(layer)[batch]) for layer in layers]
        n = len(batch)
        for i in range(count):
            for j in range(count):
                if debiased:
                    total[i, j] += pairs_of(n) * hsic1(grams[i], grams[j])
                else:
                    total[i, j] += (n - 1) ** 2 * hsic0(grams[i], grams[j])
    return np.array([[_ratio(total, i, j) for j in range(count)] for i in range(count)])


def _ratio(total: np.ndarray, i: int, j: int) -> float:
    own = total[i, i] * total[j, j]
    return total[i, j] / math.sqrt(own) if own > 0 else math.nan


def jackknife(products: Sequence[np.ndarray], i: int, j: int) -> float:
    """Return the delete-one-batch standard error of one value in one pass."""
    count = len(products)
    without = [_ratio(sum(p for k, p in enumerate(products) if k != left), i, j) for left in range(count)]  # type: ignore
    mean = sum(without) / count
    return math.sqrt((count - 1) / count * sum((value - mean) ** 2 for value in without))


def stock_values(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return every value of ``bestiary.Stock`` by name, in the order of execution, from an out-of-place forward."""
    values: dict[str, Tensor] = {"input": x}

    def keep(name: str, value: Tensor) -> Tensor:
        values[name] = value.detach().clone()
        return value

    def call(name: str, value: Tensor) -> Tensor:
        return keep(name, model.get_submodule(name)(value))

    def block(name: str, x: Tensor) -> Tensor:
        identity = x
        if model.get_submodule(name).downsample is not None:
            identity = call(f"{name}.downsample.1", call(f"{name}.downsample.0", x))
        y = keep(f"{name}.relu", torch.relu(call(f"{name}.bn1", call(f"{name}.conv1", x))))
        y = keep(f"{name}.add", call(f"{name}.bn2", call(f"{name}.conv2", y)) + identity)
        return keep(f"{name}.relu#2", torch.relu(y))

    with torch.no_grad():
        y = keep("relu", torch.relu(call("bn1", call("conv1", x))))
        y = block("layer1.1", block("layer1.0", call("maxpool", y)))
        gate = keep("se.mean", y.mean((2, 3), keepdim=True))
        gate = call("se.expand", keep("se.act", torch.relu(call("se.reduce", gate))))
        y = keep("se.mul", y * keep("se.sigmoid", torch.sigmoid(gate)))
        y = call("avgpool", block("layer2.1", block("layer2.0", y)))
        call("fc", torch.flatten(y, 1))
    return values
