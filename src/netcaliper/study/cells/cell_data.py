"""The data of a cell: what is trained on, and what every reading is made on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netcaliper.errors import StudyError
from netcaliper.specs.data import load_data
from netcaliper.specs.datasets.stream import Indexed, Stream
from netcaliper.specs.loaded import LoadedModel
from netcaliper.stats.sampling import held
from netcaliper.study.cells.spec_call import composed
from netcaliper.study.place import FOLDER
from netcaliper.zoo.batches import Batches

_OF_TRAINING = ("examples", "random_labels", "label_noise")
"""Options that say nothing of the test part."""


@dataclass(frozen=True)
class CellData:
    """Two parts of a data set.

    Attributes:
        train: a re-iterable of batches to train on.
        test: a re-iterable of batches of examples that no training sees.
        name: the test part, in words that name no folder.
    """

    train: Any
    test: Any
    name: str


def cell_data(
    data: Mapping[str, Any], folders: Mapping[str, str], *, batch_size: int, model: LoadedModel | None = None
) -> CellData:
    """Load the data of a cell.

    The option ``examples`` limits the training part alone (what the spec itself says limits both parts); ``classes``
    choose from both; ``random_labels`` and ``label_noise`` change training labels only.

    Args:
        data: ``spec`` (which may hold ``{folder}``) and ``options``, which stand in for what the spec says.
        folders: by spec, what stands for ``{folder}``.
        batch_size: training examples a batch.
        model: that will read the data.

    Raises:
        StudyError: no folder is known, or the training part can be read in one order only.
        SpecError: the spec or an option cannot be used.
        DataError: the data cannot be used.
    """
    template, options = str(data["spec"]), dict(data.get("options") or {})
    spec = template
    if FOLDER in template:
        folder = folders.get(template)
        if folder is None:
            raise StudyError(f"the data {template!r} need a folder, and none is given; add `folder` to the study file.")
        spec = template.replace(FOLDER, folder)
    train = load_data(composed(spec, options), split="train", batch_size=batch_size, model=model)
    if isinstance(train, Stream) and not isinstance(train, Indexed):
        raise StudyError(
            f"the data {template!r} can be read only in the order of their rows, and a training must not follow that; "
            "write them into an npz file, or give a factory that shuffles."
        )
    test = load_data(composed(spec, _of_test(options)), split="test", model=model)
    return CellData(train, test, name_of_test(data))


def name_of_test(data: Mapping[str, Any]) -> str:
    """Return the test part in words that name no folder; equal words are equal examples.

    Args:
        data: as for ``cell_data``.
    """
    return f"{composed(str(data['spec']), _of_test(data.get('options') or {}))} (test)"


def _of_test(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _OF_TRAINING}


def some_of(data: Any, examples: int | None, seed: int) -> Any:
    """Return at most so many examples, chosen by (seed, index); all of them for ``None``.

    Raises:
        StudyError: the data are not held in memory, so that a part cannot be taken.
    """
    if examples is None:
        return data
    if not isinstance(data, Batches):
        raise StudyError("`examples` of a reader needs data in memory; leave it out, or limit the data in their spec.")
    if examples >= len(data.x):
        return data
    return data.parted(held(len(data.x), examples, seed))[1]
