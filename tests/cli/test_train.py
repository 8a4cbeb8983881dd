"""``netcaliper train``: a checkpoint that other commands read, exact resume, and nothing overwritten."""

import inspect
import re
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import typer

from command_line import contents, done, json_of, netcaliper, refused
from netcaliper.cli.main import app
from netcaliper.cli.train import train as command
from netcaliper.errors import DataError
from netcaliper.fit import epoch as one_epoch
from netcaliper.fit import train as loop
from netcaliper.fit.augment import AUGMENTATIONS
from netcaliper.fit.optimizers import DECAYED, OPTIMIZERS
from netcaliper.fit.precision import PRECISIONS
from netcaliper.fit.schedule import SCHEDULES
from netcaliper.specs.call import parse_call
from netcaliper.specs.data import data_options
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.checkpoint import load_checkpoint
from netcaliper.zoo.models import ZOO, build

cli: Any = typer.main.get_command(app)

MODEL = "zoo:cnn(widths=[4, 6])"
QUICK = ("--data", "digits(examples=200)", "--epochs", "2", "--batch-size", "64", "--learning-rate", "0.01")


def same(a, b):
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


def test_the_checkpoint_is_read_by_other_commands(tmp_path):
    out = tmp_path / "deep" / "net"
    text = done("train", MODEL, *QUICK, "-o", out)
    assert "200 examples, 2 epochs in float32, loss " in text
    assert "of the training examples" in text
    assert f"checkpoint: {out}/" in text
    assert shlex.split(text.splitlines()[-1]) == [
        "netcaliper",
        "measure",
        *map(str, (out, "--data", QUICK[1], "-o", f"{out}-reading")),
    ]
    assert [path.name for path in out.parent.iterdir()] == ["net"]
    facts = load_checkpoint(out).training
    assert (facts["model"], facts["data"], facts["examples"], facts["batch_size"]) == (MODEL, QUICK[1], 200, 64)
    assert json_of("measure", out, "--data", "digits", "--split", "test")["network"]["units"] == 10


def test_what_is_printed_is_what_the_checkpoint_does(tmp_path):
    out = tmp_path / "net"
    facts = json_of("train", MODEL, *QUICK, "-o", out, "--schedule", "cosine", "--optimizer", "sgd", "--seed", "4")
    from netcaliper.specs.data import load_data

    model = load_checkpoint(out).model
    assert facts["test_accuracy"] == loop.accuracy(model, load_data(QUICK[1], split="test"))
    assert facts["train_accuracy"] == loop.accuracy(model, load_data(QUICK[1], split="train"))
    assert facts["training"]["schedule"] == "cosine"
    assert facts["training"]["seed"] == 4
    assert load_checkpoint(out).training == facts["training"]
    own = build("cnn", {"widths": [4, 6]}, seed=4)
    loop.fit(
        own,
        load_data(QUICK[1], split="train", batch_size=64),
        epochs=2,
        learning_rate=0.01,
        optimizer="sgd",
        schedule="cosine",
        seed=4,
    )
    assert same(own, model)


def interrupt_after(monkeypatch, batches):
    """Let Ctrl-C arrive after so many updates."""
    original, count = one_epoch._update, 0

    def update(*arguments):
        nonlocal count
        count += 1
        if count > batches:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(one_epoch, "_update", update)


def test_an_interrupted_training_resumes_bit_for_bit(tmp_path, monkeypatch):
    options = ("train", MODEL, *QUICK, "--epochs", "3", "--optimizer", "sgd", "--augment", "crop_flip")
    done(*options, "-o", tmp_path / "whole")
    out = tmp_path / "net"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 6)  # in the second of three epochs of four batches
        result = netcaliper(*options, "-o", out)
    assert result.exit_code == 130
    assert f"the last state is in {out}.training: give the same command with --resume" in result.stderr
    assert not out.exists()
    before = contents(tmp_path)
    assert "give --resume to go on from it, or remove it" in refused(*options, "-o", out)
    assert (
        "`learning_rate` = 0.01 in its recipe"
        in netcaliper(*options, "-o", out, "--resume", "--learning-rate", "1").stderr
    )
    assert contents(tmp_path) == before
    done(*options, "-o", out, "--resume")
    assert contents(out) == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "whole"]


def test_an_interrupt_before_the_first_state_says_so(tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 1)
    result = netcaliper("train", MODEL, *QUICK, "-o", tmp_path / "net")
    assert result.exit_code == 130
    assert "this run wrote nothing" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_every(tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 7)
    netcaliper("train", MODEL, *QUICK, "-o", tmp_path / "net", "--checkpoint-every", "2")
    assert list(tmp_path.iterdir()) == []  # stopped in the second epoch


def test_nothing_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "fit", lambda *_, **__: pytest.fail("it trained first"))
    (tmp_path / "net").write_text("mine")
    for out in (tmp_path / "net", tmp_path):
        assert "already exists and is not overwritten" in refused("train", MODEL, *QUICK, "-o", out)
    assert contents(tmp_path) == {"net": b"mine"}
    assert "there is no saved state" in refused("train", MODEL, *QUICK, "-o", tmp_path / "new", "--resume")


def test_every_name_that_a_recipe_knows_can_be_given():
    known = {
        "augment": AUGMENTATIONS,
        "decayed": DECAYED,
        "optimizer": OPTIMIZERS,
        "precision": PRECISIONS,
        "schedule": SCHEDULES,
    }
    parameters = inspect.signature(command).parameters
    for option, names in known.items():
        literal = get_args(parameters[option].annotation)[0]
        assert set(get_args(literal)) == set(names), option


STOPPING = ("train", MODEL, "--data", "digits(examples=400)", "--epochs", "40", "--batch-size", "64", "--optimizer")
STOPPING = (*STOPPING, "sgd", "--learning-rate", "0.02", "--patience", "3", "--warmup", "1", "--keep-every", "3")


def test_early_stopping_and_kept_epochs(tmp_path):
    out = tmp_path / "net"
    facts = json_of(*STOPPING, "-o", out)["training"]
    assert (facts["watch"], facts["patience"], facts["warmup"]) == ("held_out", 3, 1)
    ran = len(facts["loss"])
    assert ran < 40
    assert ran == facts["kept_epoch"] + 3 or max(facts["watched"]) == 1
    from netcaliper.specs.data import load_data
    from netcaliper.zoo.sampling import held_out

    whole = load_data("digits(examples=400)", split="train")
    assert isinstance(whole, Batches)
    stay, held = whole.parted(held_out(400))
    model = load_checkpoint(out).model
    assert facts["examples"] == len(stay.x) == 400 - len(held.x)
    assert loop.accuracy(model, held) == max(facts["watched"])
    assert loop.accuracy(model, stay) == facts["train_accuracy"]
    series = tmp_path / "net.epochs"
    kept = [f"epoch-{n:04d}" for n in range(3, ran + 1, 3)]
    assert kept
    assert sorted(path.name for path in series.iterdir()) == ["epoch-0000", *kept]
    untrained = load_checkpoint(series / "epoch-0000")
    assert same(untrained.model, build("cnn", {"widths": [4, 6]}, seed=0))
    assert (untrained.training["kept_epoch"], untrained.training["loss"]) == (0, [])
    for number, name in zip(range(3, ran + 1, 3), kept, strict=True):
        checkpoint = load_checkpoint(series / name)
        assert loop.accuracy(checkpoint.model, held) == facts["watched"][number - 1]
        assert checkpoint.training["kept_epoch"] == number
        assert checkpoint.training["loss"] == facts["loss"][:number]
    measured = json_of("measure", series / kept[0], "--data", "digits", "--split", "test")
    assert measured["network"]["units"] == 10


def test_a_series_of_epochs_is_resumed_bit_for_bit(tmp_path, monkeypatch):
    done(*STOPPING, "-o", tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 22)  # in the fourth epoch of six batches; the last state is of the second
        assert netcaliper(*STOPPING, "-o", tmp_path / "net", "--checkpoint-every", "2").exit_code == 130
    assert [path.name for path in sorted((tmp_path / "net.epochs").iterdir())] == [
        "epoch-0000",
        "epoch-0003",
    ]
    other = netcaliper(*STOPPING, "-o", tmp_path / "net", "--resume", "--keep-every", "1")
    assert other.exit_code == 2
    assert "`keep_every` = 3 in its context, this one 1" in other.stderr
    done(*STOPPING, "-o", tmp_path / "net", "--resume")
    assert contents(tmp_path / "net") == contents(tmp_path / "whole")
    assert contents(tmp_path / "net.epochs") == contents(tmp_path / "whole.epochs")


def test_a_series_that_fails_at_its_first_batch_writes_nothing(tmp_path):
    options = ("--data", "digits(examples=200)", "--epochs", "1", "--keep-every", "1", "-o", tmp_path / "net")
    assert "`model` fails on a batch" in netcaliper("train", "zoo:resnet(depth=8)", *options).stderr
    assert list(tmp_path.iterdir()) == []


def test_an_epoch_of_its_own_is_never_reached(tmp_path):
    """Every third epoch of two: the untrained network alone is kept."""
    done("train", MODEL, *QUICK, "-o", tmp_path / "net", "--keep-every", "3")
    assert [path.name for path in (tmp_path / "net.epochs").iterdir()] == ["epoch-0000"]


def test_what_is_said_of_an_early_stop(tmp_path):
    text = done(*STOPPING, "-o", tmp_path / "net")
    facts = load_checkpoint(tmp_path / "net").training
    ran, kept = len(facts["loss"]), facts["kept_epoch"]
    assert f"{facts['examples']} examples, {ran} epochs in float32, loss {facts['loss'][kept - 1]:.4f}" in text
    assert f"in epoch {kept}, whose weights are kept" in text
    assert f"% of {400 - facts['examples']} held out to choose the epoch, " in text
    assert f"checkpoints before the training and after every 3 epochs: {tmp_path / 'net.epochs'}/" in text


def test_random_labels_are_watched_on_the_training_examples(tmp_path):
    options = ("train", MODEL, "--epochs", "2", "--patience", "2", "--learning-rate", "0.01")
    for n, data in enumerate(
        (("digits(examples=100)", "--random-labels"), ("digits(examples=100, random_labels=True)",))
    ):
        facts = json_of(*options, "--data", *data, "-o", tmp_path / str(n))
        assert facts["training"]["watch"] == "train"
        assert facts["training"]["examples"] == 100
        assert facts["train_accuracy"] == max(facts["training"]["watched"])
    facts = json_of(*options, "--data", "digits(examples=100)", "--watch", "train", "-o", tmp_path / "asked")
    assert facts["training"]["watch"] == "train"


def test_a_factory_with_batches_of_its_own_holds_nothing_out(tmp_path, monkeypatch):
    (tmp_path / "own_batches.py").write_text(
        "import torch\n"
        "def data():\n"
        "    return [(torch.arange(24.0).view(8, 3) / 24, torch.arange(8) % 2), (torch.ones(2, 3), torch.arange(2))]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    options = ("train", "zoo:mlp(inputs=3, classes=2)", "--data", "own_batches:data", "--split", "all", "--epochs", "2")
    out = tmp_path / "net"
    assert "a factory has its own batches; give --watch train" in refused(*options, "--patience", "1", "-o", out)
    facts = json_of(*options, "--patience", "1", "--watch", "train", "-o", out)
    assert facts["training"]["examples"] == 10


def test_a_series_is_not_overwritten(tmp_path):
    (tmp_path / "net.epochs").mkdir()
    assert f"{tmp_path / 'net.epochs'} already exists and is not overwritten" in refused(
        *STOPPING, "-o", tmp_path / "net"
    )
    assert contents(tmp_path) == {}


def test_the_recipes_of_the_docs_are_commands():
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert len(lines) >= 5
    options = re.findall(r"(--[a-z][a-z-]+)", page)
    known = {name for parameter in cli.commands["train"].params for name in parameter.opts}
    assert set(options) - {"--help"} <= known
    for line in lines:
        program, name, *arguments = shlex.split(line, comments=True)
        assert (program, name) == ("netcaliper", "train")
        given = cli.commands["train"].make_context("train", arguments).params
        family, values = parse_call(given["model"], given["model"].removeprefix("zoo:"), "")
        ZOO[family].config(**values)
        assert data_options(given["data"]) is not None


PAPER = [
    (
        "zoo:alexnet(width=0.06, dropout=0.5, size=8, channels=1)",
        "--weight-decay",
        "1e-3",
        "--decayed",
        "hidden_linear",
    ),
    ("zoo:alexnet(width=0.06, size=8, channels=1, only=1, initializer='he_uniform')", "--optimizer", "rmsprop"),
    ("zoo:resnet(depth=8, width=0.25, size=8, channels=1)", "--optimizer", "adagrad", "--augment", "crop_flip_reflect"),
    (
        "zoo:resnet(depth=8, width=0.25, size=8, channels=1, recipe='nguyen')",
        "--decayed",
        "weights",
        "--schedule",
        "cosine",
    ),
    ("zoo:mlp(init_sds=[1e-3, 1e-2, 1e-2], init_scale=100.0)", "--optimizer", "sgd", "--momentum", "0"),
    ("zoo:resnet(depth=8, width=0.25, size=8, channels=1, residual=False)", "--pc-penalty", "10.0"),
    ("zoo:cnn(widths=[4, 6], width=1.5, only=0)", "--optimizer", "adamw", "--precision", "bf16", "--warmup", "1"),
]


@pytest.mark.parametrize(
    ("model", "options"), [(model, options) for model, *options in PAPER], ids=lambda v: str(v)[:20]
)
def test_recipes_run_from_the_command_line(model, options, tmp_path):
    data = ("--data", "digits(examples=40)", "--epochs", "1", "--batch-size", "16", "--scale", "0.5")
    facts = json_of("train", model, *data, *options, "-o", tmp_path / "net")["training"]
    assert (facts["batch_size"], facts["learning_rate"]) == (8, 5e-4)
    for option, value in zip(options[::2], options[1::2], strict=True):
        assert str(facts[option.strip("-").replace("-", "_")]) in (
            value,
            str(float(value)) if value[0].isdigit() else value,
        )


def test_examples_random_labels_and_scale(tmp_path):
    options = ("train", MODEL, "--data", "digits", "--epochs", "1", "--learning-rate", "0.01", "--batch-size", "32")
    facts = json_of(*options, "-o", tmp_path / "a", "--examples", "120", "--random-labels", "--scale", "2")["training"]
    assert (facts["examples"], facts["subset"], facts["random_labels"]) == (120, 120, True)
    assert (facts["batch_size"], facts["learning_rate"]) == (64, 0.02)


def test_training_goes_on_from_a_checkpoint(tmp_path):
    done("train", MODEL, *QUICK, "-o", tmp_path / "first")
    facts = json_of("train", tmp_path / "first", *QUICK, "-o", tmp_path / "second")
    assert facts["training"]["loss"][0] < load_checkpoint(tmp_path / "first").training["loss"][0]


def test_all_examples_leave_none_to_test(tmp_path):
    facts = json_of("train", MODEL, *QUICK, "-o", tmp_path / "net", "--split", "all")
    assert "test_accuracy" not in facts
    assert facts["train_accuracy"] is not None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("zoo:vgg", *QUICK), 2, "there are: alexnet, cnn, decoder, encoder_decoder, mlp, resnet, vit"),
        (("command_line:small_net", *QUICK), 2, "is not a network of the zoo, and only those become checkpoint"),
        ((MODEL, "--data", "cifar10:/nowhere"), 2, "has no train.parquet"),
        (("zoo:resnet(depth=8)", *QUICK), 2, "`model` fails on a batch of shape [64, 1, 8, 8]: Given groups=1"),
        ((MODEL, *QUICK, "--scale", "0.3"), 2, "it must be a whole number"),
        ((MODEL, *QUICK, "--learning-rate", "-1"), 2, "`learning_rate` must be a positive number"),
        ((MODEL, *QUICK, "--examples", "2000"), DataError.exit_code, "the split 'train' has 1347"),
        ((MODEL, "--data", "digits(examples=900)"), 1, "'test' has 450; ask for fewer. --examples limits the training"),
        (("zoo:cnn(width=1e9)", *QUICK), 2, "cannot be built"),
        (("zoo:resnet(width=1e9)", *QUICK), 2, "cannot be built"),
        (("zoo:alexnet(width=1e10)", *QUICK), 2, "`width` = 10000000000"),
        ((MODEL, *QUICK, "--watch", "train"), 2, "`--watch` train decides when --patience is over"),
        ((MODEL, *QUICK, "--warmup", "3"), 2, "`warmup` must be from 0 to `epochs` = 2, got 3"),
        ((MODEL, "--data", "digits(examples=5)", "--patience", "2"), 1, "one example in 20 is held out, here 0 of 5"),
        ((MODEL, *QUICK, "--augment", "color"), 2, "needs the 3 channels red, green and blue, the images have 1"),
        ((MODEL, *QUICK, "--pc-penalty", "-1"), 2, "`pc_penalty` must be 0 or a positive number, got -1"),
        ((MODEL, *QUICK, "--augment", "crop28_flip_light"), 2, "cuts windows of 28 x 28 pixels, the images have 8 x 8"),
        ((MODEL, *QUICK, "--device", "warp"), 2, "`--device` 'warp' cannot be used"),
    ],
)
def test_bad_input_is_one_line(arguments, code, message, tmp_path):
    result = netcaliper("train", *arguments, "-o", tmp_path / "net")
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("training ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []
