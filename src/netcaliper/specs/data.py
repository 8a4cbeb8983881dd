"""What a data spec stands for.

Data are ``digits``, ``npz:FILE``, ``cifar10:FOLDER``, ``teacher``, ``imagefolder:FOLDER``, ``parquet:FILE``,
``datasets:FOLDER``, ``multi30k:FOLDER``, each with options in parentheses (``cifar10:FOLDER(examples=3000)``), or
``package.module:factory``.
"""

import inspect
import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from netcaliper.errors import DataError, InputError, SpecError
from netcaliper.specs.call import named_call
from netcaliper.specs.datasets.columns import TableOptions
from netcaliper.specs.datasets.datasets_folder import dataset_parts
from netcaliper.specs.datasets.imagefolder import ImageOptions, imagefolder
from netcaliper.specs.datasets.keyword_arrays import keyword_arrays
from netcaliper.specs.datasets.parquet import parquet_parts
from netcaliper.specs.datasets.preprocessing import Preprocessing, preprocessing
from netcaliper.specs.datasets.tables import table_data
from netcaliper.specs.datasets.tokens import reader_of
from netcaliper.specs.datasets.translation_data import translation_data
from netcaliper.specs.factory import call_factory, find_factory, is_factory
from netcaliper.specs.loaded import LoadedModel
from netcaliper.specs.nearest import existing
from netcaliper.trace.batches import check_reiterable
from netcaliper.zoo.cifar10 import Cifar10Options, cifar10
from netcaliper.zoo.data import Options, Split, digits, npz, read_npz
from netcaliper.zoo.teacher import TeacherOptions, teacher
from netcaliper.zoo.translation import TranslationOptions

DATA_SPECS = (
    "`digits`, `npz:FILE`, `cifar10:FOLDER`, `teacher(inputs=10, examples=1000)`, `imagefolder:FOLDER`, "
    "`parquet:FILE`, `datasets:FOLDER`, `multi30k:FOLDER`, `package.module:factory`; all but the last take options in "
    "parentheses, e.g. `digits(examples=300)`"
)

_OPTIONS: dict[str, type[Options] | type[TeacherOptions]] = {
    "digits": Options,
    "npz": Options,
    "cifar10": Cifar10Options,
    "teacher": TeacherOptions,
    "imagefolder": ImageOptions,
    "parquet": TableOptions,
    "datasets": TableOptions,
    "multi30k": TranslationOptions,
}
_WITHOUT_PATH = ("digits", "teacher")
_HEAD = re.compile(r"(?s)(?P<name>\w+)(?P<colon>:)?(?P<rest>.*)")


def load_data(
    spec: str,
    *,
    split: Split = "all",
    batch_size: int = 256,
    examples: int | None = None,
    random_labels: bool = False,
    model: LoadedModel | None = None,
) -> Iterable[Any]:
    """Build the data that ``spec`` stands for, a re-iterable of batches in one fixed order.

    Args:
        spec: one of the forms at the top of this file.
        split: ``"all"``, or the fixed ``"train"`` or ``"test"`` part.
        batch_size: examples a batch; a factory chooses its own.
        examples: the option of this name, in place of what the spec says.
        random_labels: the option of this name, where the spec does not say it.
        model: that will read the data: its preprocessing, its tokenizer and what its ``forward`` takes are used.

    Raises:
        SpecError: the spec cannot be resolved.
        DataError: the data cannot be used.
    """
    options = data_options(spec, examples=examples, random_labels=random_labels)
    if options is None:
        return from_factory(spec, split)
    name, path, _ = _parsed(spec)
    if isinstance(options, TeacherOptions):
        return teacher(split, batch_size=batch_size, options=options)
    if name == "digits":
        return digits(split, batch_size=batch_size, options=options)
    if isinstance(options, Cifar10Options):
        return cifar10(path, split, batch_size=batch_size, options=options)
    if isinstance(options, TranslationOptions):
        return translation_data(path, split, batch_size=batch_size, options=options, model=model)
    if isinstance(options, TableOptions):
        parts = parquet_parts(path) if name == "parquet" else dataset_parts(path)
        return table_data(
            parts,
            split,
            options=options,
            reader=reader_of(model),
            preprocessing=partial(_preprocessing, spec, options, model),
            batch_size=batch_size,
            name=f"`{name}:` {Path(path).name}",
        )
    if isinstance(options, ImageOptions):
        if reader_of(model).main_input == "input_ids":
            raise SpecError(f"{spec!r}: these are images, and the model reads tokens; give `parquet:FILE` with text.")
        steps = _preprocessing(spec, options, model)
        return imagefolder(path, split, steps, batch_size=batch_size, options=options)
    return _npz(path, split, batch_size=batch_size, options=options, model=model)


def data_name(spec: str, data: Iterable[Any], split: Split = "all") -> str:
    """Return how a reading calls data: the spec, the part, and how the examples were prepared."""
    remarks = [*([] if split == "all" else [split]), *filter(None, [getattr(data, "prepared", "")])]
    return f"{spec} ({'; '.join(remarks)})" if remarks else spec


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
    name, path, given = _parsed(spec)
    if name in _OPTIONS and bool(path) == (name not in _WITHOUT_PATH):
        given |= ({} if examples is None else {"examples": examples}) | (
            {"random_labels": True} if random_labels else {}
        )
        try:
            return _OPTIONS[name](**given)
        except InputError as error:
            raise SpecError(f"{spec!r}: {error}") from error
    if is_factory(spec) and name not in ("zoo", *_OPTIONS):
        _check_typo(spec, name)
        if examples is not None or random_labels:
            raise SpecError(f"{spec!r}: a factory chooses its own examples and labels; give it a parameter for that.")
        return None
    near = get_close_matches(name, _OPTIONS, n=1)
    hint = f"did you mean `{_form(near[0])}`? Supported" if near and name not in _OPTIONS else "supported"
    raise SpecError(f"`data` = {spec!r} is not a data spec; {hint} are {DATA_SPECS}.")


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


def _parsed(spec: str) -> tuple[str, str, dict[str, Any]]:
    """Return the name, the path and the options of a spec; a name alone where it is none of ours."""
    head = _HEAD.fullmatch(spec)
    if head is None or (head["name"] not in _OPTIONS):
        return re.split(r"\W", spec, maxsplit=1)[0], "", {}
    path, given = named_call(spec, head["rest"], DATA_SPECS)
    if not head["colon"] and path:  # something else that begins like one of ours
        return head["name"] + path, "", {}
    return head["name"], path, given


def _preprocessing(spec: str, options: ImageOptions, model: LoadedModel | None) -> Preprocessing:
    shape = None if model is None else model.example_shape or _image_shape(model)
    try:
        return preprocessing(
            None if model is None else model.data_config,
            size=options.size,
            mean=options.mean,
            std=options.std,
            shape=shape,
        )
    except DataError:
        raise
    except InputError as error:
        raise SpecError(f"{spec!r}: {error}") from error


def _image_shape(model: LoadedModel) -> tuple[int, ...] | None:
    """Return what the configuration of a transformers model says about the images that it takes."""
    config = getattr(model.model, "config", None)
    size, channels = getattr(config, "image_size", None), getattr(config, "num_channels", 3)
    return (channels, size, size) if isinstance(size, int) and isinstance(channels, int) else None


def _npz(path: str, split: Split, *, batch_size: int, options: Options, model: LoadedModel | None) -> Iterable[Any]:
    file = existing(Path(path), "npz", folder=False)
    arrays = read_npz(file)
    if "x" in arrays:
        return npz(file, split, batch_size=batch_size, options=options)
    return keyword_arrays(
        arrays,
        split,
        takes=reader_of(model).takes,
        options=options,
        batch_size=batch_size,
        name=repr(file.name),
    )


def _check_typo(spec: str, name: str) -> None:
    """Refuse ``imagefoldr:birds``, which has the form of a factory, where there is no such module."""
    near = get_close_matches(name, _OPTIONS, n=1)
    if near and not Path(f"{name}.py").exists() and find_spec(name) is None:
        raise SpecError(f"`data` = {spec!r} is not a data spec; did you mean `{_form(near[0])}`?")


def _form(name: str) -> str:
    return name if name in _WITHOUT_PATH else f"{name}:{'FILE' if name in ('npz', 'parquet') else 'FOLDER'}"
