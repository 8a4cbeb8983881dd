"""``netcaliper demo``: a deliberately wide network, trained here and now, and the small one that is in it."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from netcaliper.cli.options import Json, Seed
from netcaliper.cli.printing import note, say, say_json
from netcaliper.errors import OutputExists, ReadingError

MARKER = ".netcaliper-demo"
CHECKPOINT, PAGE, SMALL = "checkpoint", "report.html", "small"
MADE = frozenset({MARKER, CHECKPOINT, PAGE, SMALL, "reading.json", "arrays.safetensors", "cost.json"})

NETWORK = "cnn"
WIDTHS = (64, 128, 256)
"""Four times as wide as the zoo's CNN, which already reads digits well; without BatchNorm, so that units can die."""

EPOCHS = 12
LEARNING_RATE = 2e-3
BATCH = 64
AGREEMENT = 0.97
TWIN_SEED = 2**31 - 2**16
"""The untrained twin starts from other weights than the training did."""


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write.")] = Path("out/demo"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a deliberately wide CNN on digits, read it, and build the smaller network that answers the same.

    Takes about a minute on two cores and needs no network. What the reading finds is what the training left behind:
    nothing is planted. The smaller network is not trained; its proof reads the test digits, which nothing else has
    read. A folder of an earlier demo is replaced, any other folder is left alone.
    """
    check_folder(out)

    from netcaliper.cli.progress import reading_bar
    from netcaliper.fit.progress import training_bar
    from netcaliper.fit.train import accuracy, fit
    from netcaliper.measure.static import measure
    from netcaliper.reading.shrinking import ShrinkReading
    from netcaliper.reading.shrinking_headline import headline
    from netcaliper.reading.store import load
    from netcaliper.report.page import write
    from netcaliper.report.terminal import show
    from netcaliper.shrink.shrink import shrink
    from netcaliper.zoo.checkpoint import save_checkpoint
    from netcaliper.zoo.data import digits
    from netcaliper.zoo.models import build

    arguments = {"widths": list(WIDTHS), "norm": False}
    name = f"zoo:{NETWORK}(widths={list(WIDTHS)}, norm=False), trained on digits"
    model = build(NETWORK, arguments, seed=seed)
    with _interruptible():
        note(f"training a CNN of widths {', '.join(map(str, WIDTHS))} on 1,347 digits, {EPOCHS} epochs")
        with training_bar() as step:
            training = fit(
                model,
                digits("train", batch_size=BATCH),
                epochs=EPOCHS,
                learning_rate=LEARNING_RATE,
                seed=seed,
                progress=step,
            )
        right = accuracy(model, digits("test"))
        note(f"{100 * right:.1f} % of 450 test digits right; now reading what its units do")
        with reading_bar() as phase:
            reading = measure(
                model,
                digits(),
                seed=seed,
                name=name,
                data_name="digits",
                twin=lambda: build(NETWORK, arguments, seed=TWIN_SEED + seed),
                progress=phase,
            )
        note(f"now taking away what it can do without and still answer {100 * AGREEMENT:g} % the same")
        with reading_bar() as phase:
            small = shrink(
                model,
                digits("train"),
                agreement=AGREEMENT,
                verification=digits("test"),
                seed=seed,
                name=name,
                data_name="digits",
                progress=phase,
            )
        with _written(out) as aside:
            reading.save(aside)
            small.save(aside / SMALL)
            write(load(aside / SMALL), aside / SMALL / PAGE)
            save_checkpoint(model, aside / CHECKPOINT, training=training.facts() | {"test_accuracy": right})
            write(load(aside), aside / PAGE)
    page = out / PAGE
    if as_json:
        facts = {"folder": str(out), "page": str(page), "checkpoint": str(out / CHECKPOINT), "test_accuracy": right}
        facts |= {"network": reading.network.model_dump(mode="json"), "small": small.proof.model_dump(mode="json")}
        say_json(facts)
        return
    show(reading)
    say("", headline(ShrinkReading(plan=small.plan, proof=small.proof)))
    say("", f"page:       {page}", f"checkpoint: {out / CHECKPOINT}", f"small:      {out / SMALL / PAGE}", "", "next:")
    say(
        f"  netcaliper trace {out / CHECKPOINT}",
        f"  netcaliper measure {out / CHECKPOINT} --data digits -o out/reading",
        f"  netcaliper shrink {out / CHECKPOINT} --data digits --parameters .5 -o out/half",
    )


def check_folder(out: Path) -> None:
    """Refuse a folder that the demo did not make, or in which something else has been put since.

    Raises:
        OutputExists: something is there that must not be replaced.
    """
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise OutputExists(f"`--out` {out} is not a folder, so it is not replaced; choose another one.")
    names = {entry.name for entry in out.iterdir()}
    if names and MARKER not in names:
        raise OutputExists(
            f"`--out` {out} exists and was not made by the demo, so it is not replaced; choose another folder with -o."
        )
    others = sorted(names - MADE)
    if others:
        raise OutputExists(
            f"`--out` {out} holds {others[0]!r}, which the demo did not make, so the folder is not replaced; "
            "move it away, or choose another folder with -o."
        )


@contextmanager
def _written(out: Path) -> Iterator[Path]:
    """Yield a folder to write into; it takes the place of ``out`` only when everything in it is written."""
    parent = out.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=parent))
    except OSError as error:
        raise ReadingError(
            f"`--out` {out} cannot be written: {error.strerror or error}; choose another folder with -o."
        ) from error
    try:
        aside = work / "new"
        yield aside
        (aside / MARKER).write_text(json.dumps({"made_by": "netcaliper demo"}) + "\n", encoding="utf-8")
        check_folder(out)
        if out.exists():
            os.rename(out, work / "old")
            try:
                os.rename(aside, out)
            except BaseException:
                os.rename(work / "old", out)
                raise
        else:
            os.rename(aside, out)
    except OSError as error:
        raise ReadingError(
            f"`--out` {out} cannot be written: {error.strerror or error}; what was there before is unchanged; "
            "free some space or choose another folder with -o."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note("the demo wrote nothing; an earlier demo is unchanged")
        raise
