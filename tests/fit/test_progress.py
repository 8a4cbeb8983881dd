"""The bar draws on a terminal and nowhere else."""

import io

from rich.console import Console

from netcaliper.fit.epoch import Step
from netcaliper.fit.progress import training_bar


def drawn(*, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with training_bar("wide", console=console) as show:
        show(Step(epoch=1, epochs=2, batch=1, batches=4, loss=1.25))
        show(Step(epoch=2, epochs=2, batch=4, batches=4, loss=0.5))
        show(Step(epoch=2, epochs=2, batch=1, batches=None, loss=0.25))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_terminal_sees_title_epoch_and_loss():
    text = drawn(terminal=True)
    assert "wide" in text
    assert "epoch 2/2, loss 0.250" in text


def test_no_terminal_no_output():
    assert drawn(terminal=False) == ""
