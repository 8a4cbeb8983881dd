"""The network in one row."""

from collections.abc import Sequence

import numpy as np

from netcaliper.feed.protocol import JACKKNIFE
from netcaliper.measure.partition import NEEDED
from netcaliper.measure.path_length import PathLength
from netcaliper.measure.prunable import Pruned
from netcaliper.measure.replacement import Agreement
from netcaliper.measure.site_record import SiteAnswer
from netcaliper.reading.schema import NeededAt, NetworkReading, PathLengths, Share
from netcaliper.stats.intervals import jackknife
from netcaliper.trace.site import Site


def network_reading(
    sites: Sequence[Site],
    answers: Sequence[SiteAnswer],
    *,
    parameters: int,
    macs: int,
    pruned: Pruned | None = None,
    agreement: Agreement | None = None,
    needed_at_97: NeededAt | None = None,
    lengths: tuple[PathLength | None, PathLengths] = (None, PathLengths()),
) -> NetworkReading:
    """Sum up the sites that were read.

    ``units`` counts every producer row once: inner sites, plus each coupled group once (units with equal structure ids
    are the same row). A row is needed if it is needed at any of the sites where it shows; one site that was not judged
    leaves ``needed_units`` open. ``redundant`` is the unweighted mean over sites, as in Casper et al. (AAAI 2021).

    Args:
        sites: the sites that were read.
        answers: what was read there.
        parameters: number of parameters of the model.
        macs: multiply-accumulates of one example.
        pruned: what came of taking units away at all sites at once.
        agreement: on verify examples, of the network without all units that its consumers can do without.
        needed_at_97: the fewest units at an agreement of .97.
        lengths: of the paths, on the data, and their record.
    """
    records = [answer.record for answer in answers]
    verdicts = [answer.arrays.get("verdict") for answer in answers]
    rows = [_rows(number, site) for number, site in enumerate(sites)]
    on_data, paths = lengths
    judged = all(record.needed is not None for record in records)
    needed: set[tuple[int, int]] = set()
    if judged:
        for ids, verdict in zip(rows, verdicts, strict=True):
            assert verdict is not None
            needed.update(id_ for id_, code in zip(ids, verdict, strict=True) if code == NEEDED)
    return NetworkReading(
        parameters=parameters,
        macs=macs,
        sites=len(sites),
        units=len(set().union(*map(set, rows))),
        needed_units=len(needed) if judged else None,
        prunable=None if pruned is None else pruned.share,
        redundant=_mean(
            [record.redundant for record in records], [answer.left_out.get("redundant") for answer in answers]
        ),
        agreement=None if agreement is None else agreement.value,
        agreement_low=None if agreement is None else agreement.low,
        ablation=None if pruned is None else pruned.ablation,
        needed_at_97=needed_at_97,
        path_length=None if on_data is None else on_data.mean,
        path_length_normalized=None if on_data is None else on_data.normalized,
        paths=paths,
    )


def _rows(number: int, site: Site) -> list[tuple[int, int]]:
    """Return a key for every unit; units without a structure id are rows of their own."""
    return [(-1, int(id_)) if id_ >= 0 else (number, unit) for unit, id_ in enumerate(site.rows_of_units)]


def _mean(shares: Sequence[Share | None], left_out: Sequence[np.ndarray | None]) -> Share | None:
    """Return the unweighted mean over sites with its jackknife interval; ``None`` unless every site has a share."""
    values = [share.value for share in shares if share is not None]
    if not values or len(values) < len(shares):
        return None
    value = float(np.mean(values))
    folds = [values for values in left_out if values is not None]
    interval = None
    if len(folds) == len(shares) and len({len(values) for values in folds}) == 1:  # wide sites keep one fold
        without = np.mean(folds, axis=0)
        interval = jackknife(value, without[np.isfinite(without)])
    if interval is None:
        return Share(value=value, over="no interval: some site kept no folds; mean over sites", sample=len(values))
    return Share(
        value=value, low=interval[0], high=interval[1], over=f"{JACKKNIFE}; mean over sites", sample=len(values)
    )
