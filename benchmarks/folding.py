"""Folded networks beside the original ones: latency as a ratio in one run, multiply-adds, agreement.

An MLP (784 to 2048, 512, 2048 to 10, batches of 128) and a vision transformer (width 256, feed-forward networks of
1024, batches of 64), with random weights and a random mask: three shares of the units of every site are made linear.
The mask says nothing about quality; what folding costs and saves depends on the counts only. The folded network is
compared with the unfolded one, where the same units are linear; latency is that over the *original* network.

Then the whole way on digits: an MLP and a vision transformer are trained, linearized until at most three tenths of the
units bend, and folded; the folded network is compared with the trained one on the test digits that chose nothing.

    OMP_NUM_THREADS=2 python benchmarks/folding.py
"""

import sys
from collections.abc import Mapping

import table  # first: puts tests on the path
import torch
from torch import Tensor, nn

import netcaliper as nc
from fold_oracle import unfolded
from netcaliper.fit.train import fit
from netcaliper.trace.graph import Graph
from netcaliper.zoo.data import digits
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.models import build
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


def trained(name: str, arguments: Mapping[str, object], rate: float) -> Mapping[str, object]:
    """Train, linearize, fold; compare with what was trained."""
    model = build(name, arguments)
    data, tests = digits("train", batch_size=64), digits("test")
    fit(model, data, epochs=20, learning_rate=rate, schedule="cosine")
    bent = nc.linearize(model, data, eval_data=tests, target_active=0.3, baselines=(), epochs=15, finetune=10)
    point = bent.points[1]
    bent.bending.load_state_dict(bent.weights[1])
    x = torch.cat([images for images, _ in tests])
    torch.set_num_threads(1)
    folded = nc.fold(bent.bending, probe=x[:128], measure_latency=True)
    with torch.no_grad():
        before, bending, after = model(x), bent.model(x), folded.model(x)
    return {
        "bending units": f"{point.active} of {point.units}",
        "multiply-adds": round(folded.record["macs"][1] / folded.record["macs"][0], 3),
        "latency, 1 thread": {key: round(value, 3) for key, value in folded.record["latency"].items()},
        "accuracy, verify": None if point.verify is None else point.verify.model_dump(mode="json"),
        "accuracy of the unbent reference, verify": bent.points[0].verify.model_dump(mode="json"),
        "same answers as trained": point.agreement,
        "same answers as linearized": float((after.argmax(1) == bending.argmax(1)).float().mean()),
        "same answers as trained, all test digits": float((after.argmax(1) == before.argmax(1)).float().mean()),
        "largest difference to linearized": float((after - bending).abs().max() / bending.abs().max()),
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
    whole = {
        "MLP 64-512-512-10": trained("mlp", {"widths": [512, 512]}, 1e-3),
        "ViT width 128, 2 blocks": trained("vit", {"width": 128, "depth": 2}, 1e-3),
    }
    table.write(__file__, {"seed": 0, "random masks": results, "trained, linearized, folded": whole})
    faster = all(row["latency"]["1 threads"]["ratio"] < 1 for rows in results.values() for row in rows.values())  # type: ignore[index]
    return 0 if faster else 1


if __name__ == "__main__":
    sys.exit(main())
