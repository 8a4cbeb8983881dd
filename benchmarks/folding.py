"""Folded networks beside the original ones: latency as a ratio in one run, multiply-adds, agreement.

An MLP (784 to 2048, 512, 2048 to 10, batches of 128) and a vision transformer (width 256, feed-forward networks of
1024, batches of 64), with random weights and a random mask: three shares of the units of every site are made linear.
The mask says nothing about quality; what folding costs and saves depends on the counts only. The folded network is
compared with the unfolded one, where the same units are linear; latency is that over the *original* network.

    OMP_NUM_THREADS=2 python benchmarks/folding.py
"""

import sys
from collections.abc import Mapping

import table  # first: puts tests on the path
import torch
from torch import Tensor, nn

import netcaliper as nc
from fold_oracle import unfolded
from netcaliper.trace.graph import Graph
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.vit import ViT

SHARES = (0.6, 0.9, 1.0)
THREADS = (1, 2)


def masks(graph: Graph, share: float) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sites = [site for site in graph.sites if site.kind == "activation"]
    return {site.name: (torch.rand(site.units, generator=generator) < share).float() for site in sites}


def measured(model: nn.Module, batch: Tensor, share: float) -> Mapping[str, object]:
    graph = nc.trace(model.eval(), batch[:2])
    alphas = masks(graph, share)
    latency, folded = {}, None
    for threads in THREADS:
        torch.set_num_threads(threads)
        folded = nc.fold(graph, alphas, probe=batch, measure_latency=True)
        latency[f"{threads} threads"] = {key: round(value, 3) for key, value in folded.record["latency"].items()}
    assert folded is not None
    expected = unfolded(graph, batch, alphas)
    with torch.no_grad():
        got = folded.model(batch)
    same = (got.argmax(1) == expected.argmax(1)).float().mean()
    return {
        "linear units": f"{folded.record['linear']} of {folded.record['units']}",
        "multiply-adds": round(folded.record["macs"][1] / folded.record["macs"][0], 3),
        "parameters": round(folded.record["parameters"][1] / folded.record["parameters"][0], 3),
        "latency": latency,
        "same answers": float(same),
        "largest difference": float((got - expected).abs().max() / expected.abs().max()),
        "largest difference in float64": folded.record["difference"]["float64"]["relative"],
    }


def main() -> int:
    torch.manual_seed(0)
    networks = {
        "MLP 784-2048-512-2048-10, batch 128": (MLP(784, (2048, 512, 2048), 10), torch.randn(128, 784)),
        "ViT width 256, 4 blocks, batch 64": (ViT(256, 4, 4), torch.randn(64, 1, 8, 8)),
    }
    results = {
        name: {f"{share:.0%} linear": measured(model, batch, share) for share in SHARES}
        for name, (model, batch) in networks.items()
    }
    table.write(__file__, {"seed": 0, "masks": "random", "networks": results})
    faster = all(row["latency"]["1 threads"]["ratio"] < 1 for rows in results.values() for row in rows.values())  # type: ignore[index]
    return 0 if faster else 1


if __name__ == "__main__":
    sys.exit(main())
