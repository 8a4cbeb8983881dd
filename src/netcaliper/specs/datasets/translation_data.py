"""``multi30k:FOLDER``: sentence pairs, for a network that reads one and writes the other."""

from pathlib import Path
from typing import TYPE_CHECKING

from netcaliper.errors import SpecError
from netcaliper.specs.datasets.tokens import reader_of
from netcaliper.specs.extra import import_extra
from netcaliper.specs.nearest import existing
from netcaliper.zoo.data import Split
from netcaliper.zoo.translation import Pairs, TranslationOptions, check_fits, multi30k

if TYPE_CHECKING:
    from netcaliper.specs.loaded import LoadedModel


def translation_data(
    path: str | Path, split: Split, *, batch_size: int = 256, options: TranslationOptions, model: "LoadedModel | None"
) -> Pairs:
    """Read sentence pairs, and refuse a network that cannot take them.

    Raises:
        SpecError: the folder or a file is missing, the library ``tokenizers`` is, or the model is no encoder-decoder or
            has too few tokens or places.
        DataError: the files do not hold as many sentences in both languages, or too few.
    """
    import_extra("tokenizers", "translation", "data `multi30k:FOLDER`")
    folder = existing(Path(path), "multi30k", folder=True)
    if model is not None and not reader_of(model).decodes:
        raise SpecError(
            f"`multi30k` holds pairs of sentences, and the model {model.name!r} takes no `decoder_input_ids`; give an "
            "encoder-decoder, e.g. zoo:encoder_decoder(vocabulary=4000)."
        )
    pairs = multi30k(folder, split, batch_size=batch_size, options=options)
    if model is not None:
        check_fits(model.model, pairs)
    return pairs
