"""``netcaliper linearize``: a network and data in; how much of it must bend, and the rest made linear, out."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from netcaliper.cli.options import (
    DATA_HELP,
    MODEL_HELP,
    BatchSize,
    Device,
    Json,
    Seed,
    TrustPickle,
    Weights,
    split_names,
)
from netcaliper.cli.printing import say, say_json
from netcaliper.cli.written import kept_on_interrupt, reading_facts, show_written, write_reading
from netcaliper.errors import DataError, InputError, OutputExists
from netcaliper.reading.writing import check_target

if TYPE_CHECKING:
    from torch import nn

WORK_SUFFIX = ".linearizing"
MODEL_FOLDER = "model"


def linearize(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL")],
    data: Annotated[str, typer.Option(help=f"{DATA_HELP} Its train part trains, its test part is judged on.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the reading, its page and the core network.")
    ],
    weights: Weights = None,
    trust_pickle: TrustPickle = False,
    omega: Annotated[
        str | None,
        typer.Option(
            help="Strengths of the penalty, separated by commas, e.g. 1e-3,3e-3,1e-2: a training each.",
            show_default="five that suit SGD and the number of updates",
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="With the penalty; with --start-epoch of the whole training.", min=1)
    ] = 10,
    finetune: Annotated[int, typer.Option(help="Epochs after the penalty, what bends being fixed.", min=0)] = 5,
    start_epoch: Annotated[
        int | None,
        typer.Option(help="MODEL is untrained: so many plain epochs before the penalty.", min=0, metavar="EPOCHS"),
    ] = None,
    granularity: Annotated[
        Literal["channel", "layer"], typer.Option(help="What becomes linear as one: a channel, or a whole site.")
    ] = "channel",
    proximal: Annotated[bool, typer.Option("--proximal", help="The penalty by half-thresholding.")] = False,
    alpha_rate: Annotated[
        float, typer.Option(help="Factor on the learning rate of what says how linear a unit is.")
    ] = 50.0,
    target_active: Annotated[
        float | None,
        typer.Option(help="One training: the penalty rises until at most this share of units bends.", metavar="SHARE"),
    ] = None,
    target_path_length: Annotated[
        float | None, typer.Option(help="The same for the normalized average path length.", metavar="LENGTH")
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="Beside them: some of random,layer,one_shot,shallow, or none.", metavar="NAMES")
    ] = "random",
    margin: Annotated[float, typer.Option(help="Accuracy that the core network may lose.")] = 0.01,
    optimizer: Annotated[
        Literal["sgd", "adam", "adamw", "rmsprop", "adagrad"], typer.Option(help="What updates the weights.")
    ] = "sgd",
    learning_rate: Annotated[float, typer.Option(help="Before the factor of the schedule.")] = 0.01,
    momentum: Annotated[float, typer.Option(help="Of sgd.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="c of the penalty c/2 |w|^2 on the weights.")] = 5e-4,
    schedule: Annotated[
        Literal["constant", "step", "exponential", "cosine"], typer.Option(help="Of the learning rate, by epoch.")
    ] = "cosine",
    augment: Annotated[
        Literal["none", "crop", "flip", "crop_flip", "crop_flip_reflect"], typer.Option(help="Of training images.")
    ] = "none",
    precision: Annotated[Literal["auto", "float32", "bf16"], typer.Option(help="Of the forward pass.")] = "float32",
    examples: Annotated[
        int | None, typer.Option(help="Train on a stratified subset of so many examples.", min=1, metavar="N")
    ] = None,
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    device: Device = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what an interrupted run left.")] = False,
    as_json: Json = False,
) -> None:
    """Make as much of a trained network linear as its accuracy allows, and say how much of it must bend.

    Copies of the network are trained under a penalty that makes units linear, one a strength, beside baselines of equal
    cost. Half of the test examples choose the core network, the other half verifies it. While it runs everything is
    kept in DIR.linearizing; an interrupted run that is given again with --resume repeats no finished training.
    """
    work = _work_folder(out, resume=resume)
    omegas = None if omega is None else _numbers(omega)
    baselines = [] if baseline == "none" else split_names(baseline) or []

    from netcaliper.cli.progress import reading_bar
    from netcaliper.linearize.linearize import linearize as linearized
    from netcaliper.linearize.saved import save_bent
    from netcaliper.specs.data import data_name, load_data
    from netcaliper.specs.model import load_model

    loaded = load_model(model, weights, trust_pickle=trust_pickle, seed=seed)
    train = load_data(data, split="train", batch_size=batch_size, examples=examples, model=loaded)
    try:
        tests = load_data(data, split="test", batch_size=batch_size, model=loaded)
    except DataError as error:
        raise DataError(f"{error} A linearization is judged on the test part of `--data`.") from error
    with (
        kept_on_interrupt(work, f"finished trainings are in {work}: give the same command with --resume to go on"),
        reading_bar() as progress,
    ):
        found = linearized(
            loaded.model,
            train,
            eval_data=tests,
            omega=omegas,
            epochs=epochs,
            finetune=finetune,
            start_epoch=start_epoch,
            granularity=granularity,
            proximal=proximal,
            alpha_rate=alpha_rate,
            target_active=target_active,
            target_path_length=target_path_length,
            baselines=baselines,
            shallow=_shallow(loaded.model, seed) if "shallow" in baselines else (),
            margin=margin,
            trained_epochs=_trained_epochs(model) if start_epoch is None else 0,
            optimizer=optimizer,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            schedule=schedule,
            augment=augment,
            precision=precision,
            seed=seed,
            device=device,
            folder=work,
            resume=resume,
            name=loaded.name,
            data_name=data_name(data, train, "train"),
            progress=progress,
        )
    reading = found.reading
    page = write_reading(reading, out, replace=False)
    core = save_bent(found, out / MODEL_FOLDER)
    diverged = [point.name for point in reading.points if point.status == "diverged"]
    if not diverged:
        shutil.rmtree(work, ignore_errors=True)
    kept = str(work) if diverged else None
    if as_json:
        say_json(reading_facts(reading) | {"folder": str(out), "page": str(page), "model": str(core), "kept": kept})
    else:
        show_written(reading, out, page)
        say(f"network: {core}{os.sep}")
        if kept is not None:
            say(f"states of trainings that diverged: {kept}{os.sep}")


def _work_folder(out: Path, *, resume: bool) -> Path:
    """Return where everything is kept while it runs; refuse what is in the way, before anything is loaded."""
    check_target(out, replace=False)
    work = out.with_name(out.name + WORK_SUFFIX)
    if resume and not work.is_dir():
        raise InputError(f"`--resume`: there is no interrupted run {work}; start without --resume.")
    if not resume and os.path.lexists(work):
        raise OutputExists(f"{work} holds an interrupted run; give --resume to go on with it, or remove it.")
    return work


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"`--omega` must be numbers separated by commas, e.g. 1e-3,3e-3, got {text!r}.") from None


def _shallow(model: "nn.Module", seed: int) -> Any:
    """Return shallower networks from scratch, none where the network is not the zoo's (the reading says so)."""
    from netcaliper.zoo.models import name_of
    from netcaliper.zoo.shallower import shallower

    return () if name_of(model) is None else shallower(model, seed=seed)


def _trained_epochs(spec: str) -> int:
    """Return the epochs that a checkpoint folder was trained for, as far as it is known."""
    from netcaliper.zoo.checkpoint import is_checkpoint, load_checkpoint

    folder = Path(spec)
    if not folder.is_dir() or not is_checkpoint(folder):
        return 0
    epochs = load_checkpoint(folder).training.get("kept_epoch", 0)
    return epochs if isinstance(epochs, int) else 0
