"""Train a small translator on Multi30k and judge it: ``baseline`` in ``--out``, its BLEU on val and test.

German to English, lower-cased, 4,000 joint subwords. The recipe was chosen by BLEU on val; test is read once, at the
end. A checkpoint that is there is not trained again, and an interrupted training goes on where it was.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

MODEL = (
    "zoo:encoder_decoder(width=128, depth=3, ffn=256, vocabulary=4000, length=64, activation='relu', dropout=0.1, "
    "tied=True)"
)
RECIPE = [
    *("--epochs", "10", "--batch-size", "64", "--learning-rate", "2e-3", "--warmup", "1", "--schedule", "cosine"),
    *("--precision", "float32", "--keep-every", "1"),
]


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
    for part in ("val", "test_2016_flickr"):
        begin = perf_counter()
        bleu = translation_bleu(model, multi30k(data, "test", options=TranslationOptions(held_out=part)))
        found[part] = asdict(bleu) | {"seconds": round(perf_counter() - begin, 1)}
    return found


def main() -> None:
    """Train and judge the baseline, and write ``baseline.json``."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data/multi30k"), help="folder of the texts")
    arguments.add_argument("--out", type=Path, default=Path("out/translation"))
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    train(given.data, given.out)
    found = judge(given.data, given.out / "baseline")
    (given.out / "baseline.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for part, bleu in found.items():
        print(f"{part}: BLEU {bleu['score']:.2f} ({bleu['signature']}), decoded in {bleu['seconds']} s")


if __name__ == "__main__":
    main()
