"""What ``benchmarks/cifar_widths.py`` concludes from numbers."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from benchmark_script import imported


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with imported("cifar_widths") as module:
        yield module


@pytest.mark.parametrize(
    ("more", "less", "said"),
    [
        ((0.5, 0.4, 0.6), (0.2, 0.1, 0.3), "holds"),
        ((0.2, 0.1, 0.3), (0.5, 0.4, 0.6), "does not hold"),
        ((0.5, 0.4, 0.6), (0.45, 0.35, 0.55), "holds in value, intervals overlap"),
        ((0.5, None, None), (0.2, 0.1, 0.3), "holds (no interval)"),
        (None, (0.2, 0.1, 0.3), "not judged"),
    ],
)
def test_a_share_is_larger_for_sure_only_if_the_intervals_part(
    script: ModuleType, more: Any, less: Any, said: str
) -> None:
    assert script.versus(more, less) == said


def row(network: str, width: float, share: float) -> dict[str, Any]:
    shares = dict.fromkeys(("redundant", "redundant, paper", "prunable", "prunable, paper"), (share, share, share))
    return {"network": network, "width": width, "trained": shares, "twin": shares}


def test_claims_are_about_the_networks_that_they_name(script: ModuleType) -> None:
    he, glorot = script.FAMILIES["alexnet-he"], script.FAMILIES["alexnet-glorot"]
    rows = [row(he, width, 0.5) for width in script.WIDTHS]
    rows += [row(glorot, width, share) for width, share in zip(script.WIDTHS, (0.1, 0.2, 0.4), strict=True)]
    claims = {(one["claim"], one["by"]): one for one in script.claims(rows)}
    grows = "units grow faster than the width (g > 2)"
    assert claims[f"{he}: prunable {grows}", "prunable"]["g"] == 2
    assert claims[f"{glorot}: prunable {grows}", "prunable"]["g"] == 4
    assert claims[f"{glorot}: prunable {grows}", "prunable"]["widest against narrowest"] == "holds"
    assert claims["width 1: He is more redundant than Glorot", "redundant, paper"]["it"] == "holds"
    assert claims["width 1: He is less prunable than Glorot", "prunable"]["it"] == "does not hold"
    assert claims[f"{he}, width 2: more prunable than its twin", "prunable"]["it"].startswith("does not hold")
    assert not any(script.FAMILIES["resnet20"] in claim for claim, _ in claims)
