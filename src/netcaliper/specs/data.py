"""What a data spec stands for.

Data are ``digits``, ``npz:FILE``, ``cifar10:FOLDER``, ``teacher``, each with options in parentheses
(``cifar10:FOLDER(examples=3000)``), or ``package.module:factory``.
"""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from netcaliper.errors import DataError, InputError, SpecError
from netcaliper.specs.call import parse_call
from netcaliper.specs.factory import call_factory, find_factory, is_factory
from netcaliper.trace.batches import check_reiterable
from netcaliper.zoo.cifar10 import Cifar10Options, cifar10
from netcaliper.zoo.data import Options, Split, digits, npz
from netcaliper.zoo.teacher import TeacherOptions, teacher

DATA_SPECS = (
    "`digits`, `npz:FILE`, `cifar10:FOLDER`, `teacher(inputs=10, examples=1000)`, `package.module:factory`; all but "
    "the last take options in parentheses, e.g. `digits(examples=300)`"
)

_OPTIONS: dict[str, type[Options] | type[TeacherOptions]] = {
    "digits": Options,
    "npz": Options,
    "cifar10": Cifar10Options,
    "teacher": TeacherOptions,
}
# A path may hold parentheses itself: only a last pair that is empty or starts with `word =` is taken as options.
_DATA = re.compile(r"(?s)(?P<name>\w+)(:(?P<path>.*?))?(?P<options>\(\s*(\w+\s*=[^()]*)?\)\s*)?")


def load_data(
    spec: str,
    *,
    split: Split = "all",
    batch_size: int = 256,
    examples: int | None = None,
    random_labels: bool = False,
) -> Iterable[Any]:
    """Build the data that ``spec`` stands for, a re-iterable of batches.

    Args:
        spec: one of the forms at the top of this file.
        split: ``"all"``, or the fixed ``"train"`` or ``"test"`` part.
        batch_size: examples a batch; a factory chooses its own.
        examples: the option of this name, in place of what the spec says.
        random_labels: the option of this name, where the spec does not say it.

    Raises:
        SpecError: the spec cannot be resolved.
        DataError: the data cannot be used.
    """
    options = data_options(spec, examples=examples, random_labels=random_labels)
    if options is None:
        return from_factory(spec, split)
    if isinstance(options, TeacherOptions):
        return teacher(split, batch_size=batch_size, options=options)
    form = _DATA.fullmatch(spec)
    path = form["path"] if form else None
    if not path:
        return digits(split, batch_size=batch_size, options=options)
    read = cifar10 if isinstance(options, Cifar10Options) else npz
    return read(path, split, batch_size=batch_size, options=options)


def data_options(
    spec: str, *, examples: int | None = None, random_labels: bool = False
) -> Options | TeacherOptions | None:
    """Return the options in a data spec, with those beside it; ``None`` for a factory, which has its own.

    Args:
        spec: one of the forms at the top of this file.
        examples: the option of this name, in place of what the spec says.
        random_labels: the option of this name, where the spec does not say it.

    Raises:
        SpecError: the spec or an option cannot be read, or a factory is given options.
    """
    form = _DATA.fullmatch(spec)
    name = form["name"] if form else ""
    if form and name in _OPTIONS and bool(form["path"]) == (name in ("npz", "cifar10")):
        given = parse_call(spec, f"{name}{(form['options'] or '()').strip()}", DATA_SPECS)[1]
        given |= ({} if examples is None else {"examples": examples}) | (
            {"random_labels": True} if random_labels else {}
        )
        try:
            return _OPTIONS[name](**given)
        except InputError as error:
            raise SpecError(f"{spec!r}: {error}") from error
    if is_factory(spec) and spec.partition(":")[0] not in ("zoo", *_OPTIONS):
        if examples is not None or random_labels:
            raise SpecError(f"{spec!r}: a factory chooses its own examples and labels; give it a parameter for that.")
        return None
    raise SpecError(f"`data` = {spec!r} is not a data spec; supported are {DATA_SPECS}.")


def from_factory(spec: str, split: Split = "all") -> Iterable[Any]:
    """Call ``package.module:factory``, which returns a re-iterable of batches.

    A factory that has a parameter ``split`` is given it; another one can only be asked for ``"all"``.

    Raises:
        SpecError: there is no such factory, it fails, or what it returns cannot be iterated more than once.
    """
    factory = find_factory(spec)
    takes_split = "split" in inspect.signature(factory).parameters
    if split != "all" and not takes_split:
        raise SpecError(
            f"{spec!r}: `split` = {split!r} is asked for, but the factory has no parameter `split`; add one."
        )
    data = call_factory(factory, spec, **({"split": split} if takes_split else {}))
    try:
        check_reiterable(data)
    except DataError as error:
        raise SpecError(f"{spec!r}: what the factory returned cannot be used: {error}") from error
    return data
