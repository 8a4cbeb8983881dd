"""``netcaliper train``: a checkpoint that other commands read, exact resume, and nothing overwritten."""

import pytest
import torch

from command_line import contents, done, json_of, netcaliper, refused
from netcaliper.errors import DataError
from netcaliper.fit import train as loop
from netcaliper.zoo.checkpoint import load_checkpoint
from netcaliper.zoo.models import build

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
    assert [path.name for path in out.parent.iterdir()] == ["net"]
    facts = load_checkpoint(out).training
    assert (facts["model"], facts["data"], facts["examples"], facts["batch_size"]) == (MODEL, QUICK[1], 200, 64)
    assert json_of("measure", out, "--data", "digits", "--split", "test")["network"]["units"] == 10


def test_what_is_printed_is_what_the_checkpoint_does(tmp_path):
    out = tmp_path / "net"
    facts = json_of("train", MODEL, *QUICK, "-o", out, "--schedule", "cosine", "--optimizer", "sgd", "--seed", "4")
    from netcaliper.zoo.spec import load_data

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
    original, count = loop._update, 0

    def update(*arguments):
        nonlocal count
        count += 1
        if count > batches:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(loop, "_update", update)


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
        (("zoo:vgg", *QUICK), 2, "there are: alexnet, cnn, mlp, resnet"),
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
