"""BLEU (Papineni et al. 2002) as sacrebleu computes it (Post 2018), with the signature that says how."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from netcaliper.errors import DataError, InputError
from netcaliper.zoo.decoding import greedy
from netcaliper.zoo.translation import Pairs


@dataclass(frozen=True)
class Bleu:
    """How near translations come to their references.

    Attributes:
        score: BLEU of the corpus, from 0 to 100.
        precisions: of words, pairs, triples and quadruples, in percent.
        brevity_penalty: ``min(1, exp(1 - reference words / hypothesis words))``.
        sentences: their number.
        signature: of sacrebleu: references, case, tokenization, smoothing, version.
    """

    score: float
    precisions: tuple[float, ...]
    brevity_penalty: float
    sentences: int
    signature: str


def bleu(hypotheses: Sequence[str], references: Sequence[str], *, lowercase: bool = False) -> Bleu:
    """Return the BLEU of a corpus, ``brevity_penalty * exp(mean of log precisions)``, one reference a sentence.

    Args:
        hypotheses: translations.
        references: in the same order.
        lowercase: whether upper and lower case count as the same.

    Raises:
        InputError: there is no sentence, or not one reference for each.
        DataError: sacrebleu is not installed.
    """
    if len(hypotheses) != len(references) or not references:
        raise InputError(
            f"`hypotheses` must be as many as `references` and at least 1, got {len(hypotheses)} and "
            f"{len(references)}; give one reference for each."
        )
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise DataError("BLEU needs sacrebleu: pip install 'netcaliper[translation]'.") from error
    metric = BLEU(lowercase=lowercase)
    found = metric.corpus_score(list(hypotheses), [list(references)])
    return Bleu(
        score=float(found.score),
        precisions=tuple(map(float, found.precisions)),
        brevity_penalty=float(found.bp),
        sentences=len(references),
        signature=str(metric.get_signature()),
    )


def translation_bleu(model: nn.Module, pairs: Pairs, *, batch_size: int = 128) -> Bleu:
    """Return the BLEU of what a network writes greedily; of lower-cased text where ``pairs`` are lower-cased."""
    written = greedy(model, pairs, batch_size=batch_size)
    return bleu(written, pairs.references, lowercase=pairs.options.lowercase)
