"""A decoder of a billion parameters on a machine with two cores: minutes and memory, against bounds set beforehand.

A Llama of transformers in bfloat16 with random weights, 64 sequences of 128 random tokens. One process each:

- *structure*: the trace and the coupled groups; the unit states of every site.
- *units taken away*: prunable over all inner sites (the gated products of the feed-forward layers) with a budget of
  forward passes; covariance measures too, which two named residual streams have the rows for, and the wide sites not.

Told are wall seconds by phase and the peak of the resident memory, libraries and weights included.

    OMP_NUM_THREADS=2 python benchmarks/scale_decoder.py
"""

import json
import resource
import subprocess
import sys
import time
from typing import Any

import table  # first: puts tests on the path
import torch

import netcaliper as nc
from netcaliper.reading.reading import Reading
from netcaliper.trace.graph import Graph
from timm_models import import_transformers

WIDTH, LAYERS, FEED_FORWARD, HEADS, KEY_VALUE_HEADS, VOCABULARY = 2048, 16, 8192, 32, 8, 32_000
SEQUENCES, TOKENS, BATCH = 64, 128, 8
BUDGET = 8.0
"""Forward passes that ablations may cost (the fewest sequences that an agreement needs cost somewhat more)."""

BOUND_MINUTES, BOUND_GIB = 30, 16
PARTS = ("structure", "units taken away")


def decoder() -> torch.nn.Module:
    transformers = import_transformers()
    config = transformers.LlamaConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        intermediate_size=FEED_FORWARD,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_VALUE_HEADS,
        vocab_size=VOCABULARY,
        tie_word_embeddings=True,
        max_position_embeddings=TOKENS,
    )
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def data() -> list[dict[str, torch.Tensor]]:
    tokens = torch.randint(0, VOCABULARY, (SEQUENCES, TOKENS), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in tokens.split(BATCH)]


def structure(graph: Graph) -> tuple[Reading, dict[str, Any]]:
    reading = nc.measure(graph, data(), only=["unit_states"], twin=False, progress=say)
    return reading, {
        "coupled groups": [f"{group.name}: {len(group.sites)} sites" for group in graph.groups],
        "sites whose consumers are not resolved": sum(site.refused is not None for site in graph.sites),
        "dead units": sum(site.dead or 0 for site in reading.sites),
        "constant units": sum(site.constant or 0 for site in reading.sites),
    }


def units_taken_away(graph: Graph) -> tuple[Reading, dict[str, Any]]:
    streams = [site.name for site in graph.sites if site.kind == "stream"]
    inner = [site.name for site in graph.sites if site.kind != "stream"]
    named = [streams[len(streams) // 2], streams[-1]]
    reading = nc.measure(
        graph,
        data(),
        only=["redundant", "needed", "prunable"],
        sites=[*inner, *named],
        twin=False,
        budget=BUDGET,
        progress=say,
    )
    network = reading.network
    return reading, {
        "prunable share of all inner units": None if network.prunable is None else network.prunable.model_dump(),
        "sequences with units taken away": None if network.ablation is None else network.ablation.examples,
        "covariance measures": {
            site.name: {
                "units": site.units,
                "rows": site.rows,
                "redundant": None if site.redundant is None else round(site.redundant.value, 4),
                "warnings": list(site.warnings),
            }
            for site in reading.sites
            if site.name in named
        },
        "declared with too few rows": sum("too few rows" in (site.reason or "") for site in reading.sites),
    }


def say(phase: str, done: int, total: int) -> None:
    print(f"  {phase} {done}/{total}", file=sys.stderr, flush=True)


def part(name: str) -> None:
    start = time.perf_counter()
    model = decoder()
    made = time.perf_counter()
    graph = nc.trace(model, data()[0])
    traced = time.perf_counter()
    with torch.no_grad():
        model(**data()[0])
    one = (time.perf_counter() - traced) * SEQUENCES / BATCH
    reading, found = (structure if name == PARTS[0] else units_taken_away)(graph)
    answer = {
        "parameters": reading.network.parameters,
        "sites": len(reading.sites),
        "units at these sites": sum(site.units for site in reading.sites),
        "seconds": {
            **reading.cost.seconds,
            "to build the model": round(made - start, 1),
            "trace": round(traced - made, 1),
            "one forward pass of the data": round(one, 1),
        },
        "forward passes": round(reading.cost.passes, 2),
        **found,
        "wall minutes in all": round((time.perf_counter() - start) / 60, 1),
        "peak GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    print(json.dumps(answer))


def main() -> None:
    answers = {}
    for name in PARTS:
        ran = subprocess.run([sys.executable, __file__, name], stdout=subprocess.PIPE, text=True, check=True)
        answers[name] = json.loads(ran.stdout.splitlines()[-1])
        print(name, answers[name], file=sys.stderr, flush=True)
    minutes = round(sum(answer["wall minutes in all"] for answer in answers.values()), 1)
    peak = max(answer["peak GiB"] for answer in answers.values())
    table.write(
        __file__,
        {
            "network": f"Llama, {LAYERS} blocks of width {WIDTH}, gates of {FEED_FORWARD}, bfloat16, random weights",
            "data": f"{SEQUENCES} sequences of {TOKENS} random tokens",
            "bounds": f"{BOUND_MINUTES} minutes for both parts together, {BOUND_GIB} GiB",
            "minutes": minutes,
            "peak GiB": peak,
            **answers,
        },
    )
    sys.exit(minutes > BOUND_MINUTES or peak > BOUND_GIB)


if __name__ == "__main__":
    part(sys.argv[1]) if len(sys.argv) > 1 else main()
