"""``netcaliper train``: a network of the zoo and data in, a checkpoint folder out."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from netcaliper.cli.options import DATA_HELP, Json, Seed
from netcaliper.cli.printing import note, say, say_json
from netcaliper.errors import DataError, InputError, OutputExists, SpecError
from netcaliper.reading.numerals import count, percent, plural

STATE_SUFFIX = ".training"


def train(
    model: Annotated[
        str,
        typer.Argument(help="zoo:NAME(argument=value, ...), or a checkpoint folder to go on from.", metavar="MODEL"),
    ],
    data: Annotated[str, typer.Option(help=DATA_HELP, metavar="SPEC")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Checkpoint folder to write.")],
    epochs: Annotated[int, typer.Option(help="Passes over the training data.", min=1)] = 30,
    batch_size: Annotated[int, typer.Option(help="Examples a batch (a factory chooses its own).", min=1)] = 128,
    learning_rate: Annotated[float, typer.Option(help="Before the factor of the schedule.")] = 1e-3,
    scale: Annotated[float, typer.Option(help="Factor on batch size and learning rate together.")] = 1.0,
    optimizer: Annotated[
        Literal["adam", "sgd", "adamw", "rmsprop", "adagrad"], typer.Option(help="What updates the weights.")
    ] = "adam",
    momentum: Annotated[float, typer.Option(help="Of sgd.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="c of the penalty c/2 |w|^2.")] = 0.0,
    decayed: Annotated[
        Literal["all", "weights", "linear"],
        typer.Option(help="What it sees: all, weights without biases and norms, weights of linear layers."),
    ] = "all",
    schedule: Annotated[
        Literal["constant", "step", "exponential", "cosine"], typer.Option(help="Of the learning rate, by epoch.")
    ] = "constant",
    augment: Annotated[
        Literal["none", "crop", "flip", "crop_flip", "crop_flip_reflect"], typer.Option(help="Of training images.")
    ] = "none",
    precision: Annotated[
        Literal["auto", "float32", "bf16"],
        typer.Option(help="Of the forward pass; auto is bf16 for convolutional networks that are faster in it."),
    ] = "auto",
    examples: Annotated[
        int | None, typer.Option(help="Train on a stratified subset of so many examples.", min=1, metavar="N")
    ] = None,
    random_labels: Annotated[bool, typer.Option("--random-labels", help="Replace the training labels.")] = False,
    split: Annotated[
        Literal["train", "all"], typer.Option(help="Part of the data to train on; train leaves test to be classified.")
    ] = "train",
    checkpoint_every: Annotated[
        int, typer.Option(help="Save the state after so many epochs, to resume from.", min=1, metavar="EPOCHS")
    ] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last saved state.")] = False,
    device: Annotated[str | None, typer.Option(help="Where to run; CUDA if it is there, else cpu.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a network of the zoo and write it as a checkpoint folder that every other command reads.

    While it runs, its state is kept in DIR.training. An interrupted training that is given again with --resume ends
    with the same weights, bit for bit on a CPU, as one that was never interrupted.
    """
    state = _state_folder(out, resume=resume)

    from netcaliper.fit.progress import training_bar
    from netcaliper.fit.recipe import scaled_together
    from netcaliper.fit.saving import Saving
    from netcaliper.fit.train import accuracy, fit
    from netcaliper.zoo.checkpoint import save_checkpoint
    from netcaliper.zoo.models import name_of
    from netcaliper.zoo.spec import load_data, load_model

    learning_rate, batch_size = scaled_together(learning_rate, batch_size, scale)
    network = load_model(model, seed=seed).model
    if name_of(network) is None:
        raise SpecError(
            f"`model` = {model!r} is not a network of the zoo, and only those become checkpoint folders; train it in "
            "Python with `netcaliper.fit.train.fit`."
        )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    network.to(_device(device))
    batches = load_data(data, split=split, batch_size=batch_size, examples=examples, random_labels=random_labels)
    try:
        tests = load_data(data, split="test") if split == "train" else None
    except DataError as error:
        raise DataError(
            f"{error} --examples limits the training part alone; --split all needs no test part."
        ) from error
    context = {
        "model": model,
        "parameters": parameters,
        "data": data,
        "split": split,
        "batch_size": batch_size,
        "subset": examples,
        "random_labels": random_labels,
    }
    saving = Saving(state, every=checkpoint_every, context=context, resume=resume)
    note(f"training {model}: {plural(parameters, 'parameter')}, {plural(epochs, 'epoch')}")
    with _kept(saving.file), training_bar() as step:
        training = fit(
            network,
            batches,
            epochs=epochs,
            learning_rate=learning_rate,
            optimizer=optimizer,
            momentum=momentum,
            weight_decay=weight_decay,
            decayed=decayed,
            schedule=schedule,
            augment=augment,
            precision=precision,
            seed=seed,
            saving=saving,
            progress=step,
        )
        right = {"train_accuracy": accuracy(network, batches)}
        if tests is not None:
            right["test_accuracy"] = accuracy(network, tests)
        facts = context | training.facts() | right
        save_checkpoint(network.cpu(), out, training=facts)
    shutil.rmtree(state, ignore_errors=True)
    if as_json:
        say_json({"folder": str(out), "training": facts} | right)
        return
    say(
        f"{count(training.examples)} examples, {plural(epochs, 'epoch')} in {training.precision}, "
        f"loss {training.loss[-1]:.4f}",
        f"right: {percent(right['train_accuracy'])} of the training examples"
        + (f", {percent(right['test_accuracy'])} of the test examples" if tests is not None else ""),
        f"checkpoint: {out}{os.sep}",
        "",
        "next:",
        f"  netcaliper measure {out} --data '{data}' -o {out}-reading",
    )


def _state_folder(out: Path, *, resume: bool) -> Path:
    """Return where the state is kept; refuse what is in the way, before anything is loaded."""
    if os.path.lexists(out):
        raise OutputExists(f"`--out` {out} already exists and is not overwritten; choose another folder with -o.")
    state = out.with_name(out.name + STATE_SUFFIX)
    if resume and not state.is_dir():
        raise InputError(f"`--resume`: there is no saved state {state}; start without --resume.")
    if not resume and os.path.lexists(state):
        raise OutputExists(
            f"{state} holds the state of an interrupted training; give --resume to go on from it, or remove it."
        )
    return state


def _device(name: str | None) -> Any:
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["unknown"])[0]
        raise InputError(f"`--device` {name!r} cannot be used: {reason}; use cpu or cuda:0.") from error
    return device


@contextmanager
def _kept(state: Path) -> Iterator[None]:
    """Say on an interrupt what can be resumed."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if state.is_file():
            stop.add_note(f"the last state is in {state.parent}: give the same command with --resume to go on from it")
        raise
