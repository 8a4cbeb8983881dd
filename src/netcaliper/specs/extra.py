"""Libraries that not every user has: which extra brings them, and what to do where one is missing or broken."""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from netcaliper.errors import SpecError


@dataclass(frozen=True)
class Extra:
    """An extra of the package: ``pip install 'netcaliper[NAME]'``.

    Attributes:
        distributions: what it installs, by the names of the package index.
        modules: what must be importable for it to be of use.
        use: what it is for.
    """

    distributions: tuple[str, ...]
    modules: tuple[str, ...]
    use: str


EXTRAS = {
    "timm": Extra(("timm",), ("timm",), "models `timm:NAME`"),
    # `import transformers` itself loads next to nothing: its models show whether it works
    "transformers": Extra(("transformers",), ("transformers.modeling_utils",), "models `hf:NAME_OR_PATH`"),
    "images": Extra(("pillow",), ("PIL.Image",), "data `imagefolder:FOLDER`"),
    "parquet": Extra(("pyarrow", "pillow"), ("pyarrow.parquet", "PIL.Image"), "data `parquet:FILE`, `cifar10:FOLDER`"),
    "datasets": Extra(("datasets", "pillow"), ("datasets", "PIL.Image"), "data `datasets:FOLDER`"),
    "ray": Extra(("ray",), ("ray",), "`study run --engine ray`"),
    "translation": Extra(("sacrebleu", "tokenizers"), ("sacrebleu", "tokenizers"), "data `multi30k:FOLDER`, BLEU"),
}
"""By name."""


def import_extra(module: str, extra: str, need: str) -> ModuleType:
    """Import a library of an extra.

    Args:
        module: to import, e.g. ``"PIL.Image"``.
        extra: that installs it, a key of ``EXTRAS``.
        need: the spec or option that needs it, as the message names it.

    Raises:
        SpecError: it is not installed, or its import fails; the message says what to do.
    """
    try:
        return import_module(module)
    except Exception as error:  # whatever a library raises while it is imported
        raise SpecError(f"{need} needs {module.partition('.')[0]}, which {_words(error, module, extra)}") from error


def trouble_with(extra: str) -> str | None:
    """Say in words why an extra cannot be used and what to do about it; ``None`` if it can."""
    for module in EXTRAS[extra].modules:
        try:
            import_module(module)
        except Exception as error:
            return _words(error, module, extra)
    return None


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; its kind if it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _words(error: Exception, module: str, extra: str) -> str:
    install = f"pip install 'netcaliper[{extra}]'"
    seen: BaseException | None = error
    while seen is not None:  # transformers says only at the root what was missing
        if "torchvision::" in str(seen):
            other = "uninstall torchvision, or " if extra == "transformers" else ""
            return (
                f"cannot be imported: the installed torchvision was built for another torch ({first_line(seen)}); "
                f"{other}install the torchvision that belongs to the installed torch (CPU build to CPU build)."
            )
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
        return f"is not installed: {install}."
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        return f"cannot be imported, because it needs {error.name}: pip install {error.name}, or {install}."
    return f"cannot be imported ({type(error).__name__}: {first_line(error)}); install it anew: {install}."
