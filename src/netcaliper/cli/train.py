"""``netcaliper train``: a network of the zoo and data in, a checkpoint folder out."""

import os
import shlex
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from netcaliper.cli.options import DATA_HELP, Json, Seed
from netcaliper.cli.printing import note, say, say_json
from netcaliper.cli.written import kept_on_interrupt
from netcaliper.errors import DataError, InputError, OutputExists, SpecError
from netcaliper.reading.numerals import count, percent, plural

if TYPE_CHECKING:
    from torch import nn

    from netcaliper.fit.train import Training
    from netcaliper.zoo.batches import Batches

STATE_SUFFIX = ".training"
EPOCHS_SUFFIX = ".epochs"


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
        Literal["all", "weights", "linear", "hidden_linear"],
        typer.Option(
            help="What it sees: all, weights without biases and norms, weights of linear layers, these but the last."
        ),
    ] = "all",
    schedule: Annotated[
        Literal["constant", "step", "exponential", "cosine"], typer.Option(help="Of the learning rate, by epoch.")
    ] = "constant",
    warmup: Annotated[
        int, typer.Option(help="The learning rate rises linearly over so many epochs.", min=0, metavar="EPOCHS")
    ] = 0,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many epochs without a better accuracy on watched examples; keep the best weights.",
            min=1,
            metavar="EPOCHS",
        ),
    ] = None,
    watch: Annotated[
        Literal["held_out", "train"] | None,
        typer.Option(
            help="Watched are training examples that are held out (1 in 20), or those that are trained on.",
            show_default="train with random labels, else held_out",
        ),
    ] = None,
    augment: Annotated[
        Literal[
            "none",
            "crop",
            "flip",
            "crop_flip",
            "crop_flip_reflect",
            "crop28_flip_light",
            "color",
            "crop_flip_reflect_color",
        ],
        typer.Option(help="Of training images."),
    ] = "none",
    precision: Annotated[
        Literal["auto", "float32", "bf16"],
        typer.Option(help="Of the forward pass; auto is bf16 for convolutional networks that are faster in it."),
    ] = "auto",
    pc_penalty: Annotated[
        float,
        typer.Option(help="Penalize layers whose outputs lie along one direction; 10 in its paper.", metavar="ALPHA"),
    ] = 0.0,
    pc_threshold: Annotated[
        float,
        typer.Option(help="Share of variance along it that --pc-penalty leaves free.", metavar="DELTA"),
    ] = 0.1,
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
    keep_every: Annotated[
        int | None,
        typer.Option(
            help="Also write checkpoint folders DIR.epochs/epoch-0000 (untrained) and one after so many epochs each.",
            min=1,
            metavar="EPOCHS",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last saved state.")] = False,
    device: Annotated[str | None, typer.Option(help="Where to run; CUDA if it is there, else cpu.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a network of the zoo and write it as a checkpoint folder that every other command reads.

    While it runs, its state is kept in DIR.training. An interrupted training that is given again with --resume ends
    with the same weights, bit for bit on a CPU, as one that was never interrupted. No choice is made by test examples.
    """
    state = _state_folder(out, resume=resume)
    series = out.with_name(out.name + EPOCHS_SUFFIX)
    if keep_every is not None and not resume and os.path.lexists(series):
        raise OutputExists(f"{series} already exists and is not overwritten; choose another folder with -o.")

    from netcaliper.fit.progress import training_bar
    from netcaliper.fit.recipe import scaled_together
    from netcaliper.fit.saving import Saving
    from netcaliper.fit.train import accuracy, fit
    from netcaliper.specs.data import data_options, load_data
    from netcaliper.specs.datasets.stream import Indexed, Stream
    from netcaliper.specs.model import load_model
    from netcaliper.zoo.checkpoint import save_checkpoint
    from netcaliper.zoo.models import name_of

    learning_rate, batch_size = scaled_together(learning_rate, batch_size, scale)
    loaded = load_model(model, seed=seed)
    network = loaded.model
    if name_of(network) is None:
        raise SpecError(
            f"`model` = {model!r} is not a network of the zoo, and only those become checkpoint folders; train it in "
            "Python with `netcaliper.fit.train.fit`."
        )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    network.to(_device(device))
    batches = load_data(
        data, split=split, batch_size=batch_size, examples=examples, random_labels=random_labels, model=loaded
    )
    if isinstance(batches, Stream) and not isinstance(batches, Indexed):
        raise SpecError(
            f"`data` = {data!r} can be read only in the order of its rows, and a training must not follow that; write "
            "what it holds into an npz file, or give a factory that shuffles."
        )
    try:
        tests = load_data(data, split="test", model=loaded) if split == "train" else None
    except DataError as error:
        raise DataError(
            f"{error} --examples limits the training part alone; --split all needs no test part."
        ) from error
    options = data_options(data, examples=examples, random_labels=random_labels)
    watch = _watch(watch, patience, has_random_labels=options is not None and options.random_labels)
    held = None
    if watch == "held_out":
        batches, held = _held_out(batches)
    context = {
        "model": model,
        "parameters": parameters,
        "data": data,
        "split": split,
        "batch_size": batch_size,
        "subset": examples,
        "random_labels": random_labels,
        "watch": watch,
        "keep_every": keep_every,
    }

    untrained = deepcopy(network) if keep_every is not None and not resume else None

    def write(kept: "nn.Module", so_far: "Training") -> None:
        folder = series / f"epoch-{so_far.kept_epoch:04d}"
        shutil.rmtree(folder, ignore_errors=True)  # a resumed training repeats the epochs after its last state
        save_checkpoint(kept, folder, training=context | so_far.facts())

    def keep(so_far: "Training") -> None:
        # Not earlier: a training that fails at its first batch writes nothing.
        if untrained is not None and so_far.kept_epoch == 1:
            write(untrained, replace(so_far, loss=(), accuracy=(), watched=(), kept_epoch=0))
        if keep_every is not None and so_far.kept_epoch % keep_every == 0:
            write(network, so_far)

    saving = Saving(state, every=checkpoint_every, context=context, resume=resume)
    note(f"training {model}: {plural(parameters, 'parameter')}, {plural(epochs, 'epoch')}")
    kept = kept_on_interrupt(
        saving.file, f"the last state is in {saving.file.parent}: give the same command with --resume to go on from it"
    )
    with kept, training_bar() as step:
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
            warmup=warmup,
            patience=patience,
            watch=held,
            augment=augment,
            precision=precision,
            pc_penalty=pc_penalty,
            pc_threshold=pc_threshold,
            seed=seed,
            saving=saving,
            progress=step,
            after_epoch=keep,
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
    ran, kept = len(training.loss), training.kept_epoch
    said = [
        f"{count(training.examples)} examples, {plural(ran, 'epoch')} in {training.precision}, "
        f"loss {training.loss[kept - 1]:.4f}" + (f" in epoch {kept}, whose weights are kept" if kept < ran else ""),
        f"right: {percent(right['train_accuracy'])} of the training examples"
        + (
            ""
            if held is None
            else f", {percent(max(training.watched))} of {count(len(held.x))} held out to choose the epoch"
        )
        + ("" if tests is None else f", {percent(right['test_accuracy'])} of the test examples"),
        f"checkpoint: {out}{os.sep}",
    ]
    if keep_every is not None:
        said.append(f"checkpoints before the training and after every {plural(keep_every, 'epoch')}: {series}{os.sep}")
    command = ["netcaliper", "measure", str(out), "--data", data, "-o", f"{out}-reading"]
    say(*said, "", "next:", f"  {' '.join(map(_quoted, command))}")


def _quoted(word: str) -> str:
    """Return a word as a shell reads it, in double quotes where that is easier to read."""
    plain = "'" in word and not set(word) & set('"$`\\!')
    return f'"{word}"' if plain else shlex.quote(word)


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


def _watch(
    asked: Literal["held_out", "train"] | None, patience: int | None, *, has_random_labels: bool
) -> Literal["held_out", "train"] | None:
    """Return which examples decide when to stop; random labels cannot be learned from other examples."""
    if patience is None:
        if asked is not None:
            raise InputError(f"`--watch` {asked} decides when --patience is over, which is not given; give both.")
        return None
    return asked or ("train" if has_random_labels else "held_out")


def _held_out(batches: Any) -> tuple["Batches", "Batches"]:
    """Return the examples to train on, and those that are held out."""
    from netcaliper.zoo.batches import Batches
    from netcaliper.zoo.sampling import held_out

    if not isinstance(batches, Batches):
        raise InputError(
            "`--patience` holds out examples of the data sets that netcaliper reads itself, a factory has its own "
            "batches; give --watch train, or train in Python with `netcaliper.fit.train.fit(..., watch=...)`."
        )
    return batches.parted(held_out(len(batches.x)))


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
