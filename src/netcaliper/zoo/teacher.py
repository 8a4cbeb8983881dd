"""Synthetic data of "Frivolous Units" (Casper et al. 2021): Gaussian inputs, labelled by a random network."""

import torch
from pydantic import Field, model_validator
from torch import Tensor

from netcaliper.zoo.batches import Batches
from netcaliper.zoo.config import Config, Count
from netcaliper.zoo.data import Split
from netcaliper.zoo.initializers import truncated_normal
from netcaliper.zoo.sampling import random_labels as drawn_labels

LARGEST = 2**30
"""Values of the inputs that are held in memory (4 GiB)."""


class TeacherOptions(Config):
    """What determines the data of a teacher.

    Attributes:
        inputs: features of an example; the paper takes 10 and 10,000.
        examples: training examples; the paper takes 1,000, 10,000 and 100,000.
        test_examples: examples of the test part; the paper takes 1,000. Half of them are rows to fit on, and a layer of
            512 units asks for more.
        hidden: hidden units of the teacher.
        classes: its outputs.
        random_labels: whether the training examples get random labels instead.
        seed: of everything.
    """

    inputs: Count = 10
    examples: Count = 1000
    test_examples: Count = 1000
    hidden: Count = 32
    classes: int = Field(default=2, ge=2, le=2**20)
    random_labels: bool = False
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _fits_into_memory(self) -> "TeacherOptions":
        values = self.inputs * (self.examples + self.test_examples + self.hidden)
        if values > LARGEST:
            raise ValueError(
                f"`inputs` times `examples` and `test_examples` is {values:,} values, at most {LARGEST:,} are held in "
                "memory; ask for fewer"
            )
        return self


def teacher(split: Split = "all", *, batch_size: int = 128, options: TeacherOptions | None = None) -> Batches:
    """Return ``x ~ N(0, I)`` of shape ``[N, inputs]`` with labels ``argmax(V relu(U x))``, U and V fixed and random.

    The entries of U ``[hidden, inputs]`` and V ``[classes, hidden]`` are truncated normals of standard deviation
    0.01, there is no bias. (Their scale does not matter to the labels.) ``"train"`` has ``options.examples`` examples,
    ``"test"`` ``options.test_examples`` others, ``"all"`` the first followed by the second. The teacher and the test
    part are the same for every number of training examples. The random state is left alone.
    """
    options = options or TeacherOptions()
    weights = _generator(options, 0)
    parts = {
        "train": (options.examples, _generator(options, 1)),
        "test": (options.test_examples, _generator(options, 2)),
    }
    x = torch.cat(
        [
            torch.randn(examples, options.inputs, generator=generator)
            for part, (examples, generator) in parts.items()
            if split in (part, "all")
        ]
    )
    y = _labels(x, options, weights)
    if options.random_labels and split != "test":
        y[: options.examples] = torch.from_numpy(drawn_labels(options.examples, options.classes, options.seed))
    return Batches(x, y, batch_size=batch_size)


def _labels(x: Tensor, options: TeacherOptions, generator: torch.Generator) -> Tensor:
    first = torch.empty(options.hidden, options.inputs)
    second = torch.empty(options.classes, options.hidden)
    for weight in (first, second):
        truncated_normal(weight, 0.01, generator)
    return (torch.relu(x @ first.T) @ second.T).argmax(1)


def _generator(options: TeacherOptions, stream: int) -> torch.Generator:
    return torch.Generator().manual_seed(options.seed * 3 + stream)
