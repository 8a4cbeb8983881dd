"""Translation that bends less and less: BLEU against average path length on Multi30k.

A small translator, German to English, lower-cased, 4,000 joint subwords, is trained (``baseline`` in ``--out``; its
recipe was chosen by BLEU on val). Then the hidden units of its feed-forward networks are made linear under a sweep of
penalties, two epochs with the penalty and one without, beside the unbent network trained on as long. Half of the 1,000
test sentences choose the core, the other half give the BLEU that is reported. Adam rescales gradients, so the penalty
is a proximal step. What is there is not made again, and an interrupted training goes on.

    OMP_NUM_THREADS=1 python benchmarks/translation.py --data ../shared/data/multi30k
"""

import argparse
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import table
import torch

MODEL = (
    "zoo:encoder_decoder(width=128, depth=3, ffn=256, vocabulary=4000, length=64, activation='relu', dropout=0.1, "
    "tied=True)"
)
RECIPE = [
    *("--epochs", "10", "--batch-size", "64", "--learning-rate", "2e-3", "--warmup", "1", "--schedule", "cosine"),
    *("--precision", "float32", "--keep-every", "1"),
]


OMEGAS = (0.3, 0.45, 0.6, 0.75, 1.0)
TEST = "test_2016_flickr"

torch.set_num_threads(1)


def train(data: Path, out: Path) -> None:
    """Train the baseline by the command, unless it is there."""
    folder = out / "baseline"
    if folder.exists():
        return
    resume = ["--resume"] if (out / "baseline.training").exists() else []
    spec = f"multi30k:{data}(held_out='val')"
    command = [sys.executable, "-m", "netcaliper", "train", MODEL, "--data", spec, "-o", str(folder), *RECIPE, *resume]
    subprocess.run(command, check=True)


def judge(data: Path, folder: Path) -> dict[str, dict]:
    """Return the BLEU of a checkpoint on both held-out parts."""
    from netcaliper.zoo.bleu import translation_bleu
    from netcaliper.zoo.checkpoint import load_checkpoint
    from netcaliper.zoo.translation import TranslationOptions, multi30k

    model, found = load_checkpoint(folder).model, {}
    for part in ("val", TEST):
        found[part] = asdict(translation_bleu(model, multi30k(data, "test", options=TranslationOptions(held_out=part))))
    return found


def bend(data: Path, out: Path) -> dict[str, Any]:
    """Make the sweep, keep its reading and page in ``--out``, and return its points."""
    from netcaliper.linearize.linearize import linearize
    from netcaliper.report.page import write
    from netcaliper.zoo.bleu import translation_bleu
    from netcaliper.zoo.checkpoint import load_checkpoint
    from netcaliper.zoo.translation import TranslationOptions, multi30k

    held = multi30k(data, "test", options=TranslationOptions(held_out=TEST))

    def bleu(model: torch.nn.Module, part: Any) -> float:
        rows = np.concatenate([batch.indices.numpy() for batch in part])
        return translation_bleu(model, held.some(rows)).score

    work = out / "bent"
    found = linearize(
        load_checkpoint(out / "baseline").model,
        multi30k(data, "train", batch_size=64, options=TranslationOptions(held_out=TEST)),
        eval_data=held,
        omega=OMEGAS,
        epochs=2,
        finetune=1,
        proximal=True,
        alpha_rate=10.0,
        baselines=(),
        quality=bleu,
        quality_name="BLEU",
        margin=1.0,
        optimizer="adam",
        learning_rate=5e-4,
        weight_decay=0.0,
        folder=work,
        resume=work.exists(),
        name="encoder-decoder",
        progress=lambda phase, done, total: print(phase, flush=True) if done in (0, total) else None,
    )
    found.reading.save(out / "reading", replace=True)
    write(found.reading, out / "reading" / "report.html")
    points = [
        {
            "training": point.name,
            "kind": point.kind,
            "omega": point.omega,
            "status": point.status,
            "active": point.active,
            "units": point.units,
            "path length": point.lengths.mean,
            "path length, normalized": point.lengths.normalized,
            "BLEU, select": None if point.select is None else round(point.select.value, 2),
            "BLEU, verify": None if point.verify is None else round(point.verify.value, 2),
        }
        for point in found.points
    ]
    core = found.reading.core
    return {"points": points, "core": None if core is None else core.model_dump(mode="json")}


def main() -> None:
    """Train, bend, judge."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data/multi30k"), help="folder of the texts")
    arguments.add_argument("--out", type=Path, default=Path("out/translation"))
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    train(given.data, given.out)
    baseline, bent = judge(given.data, given.out / "baseline"), bend(given.data, given.out)
    table.write(__file__, {"network": MODEL, "recipe": RECIPE, "baseline": baseline, **bent})


if __name__ == "__main__":
    main()
