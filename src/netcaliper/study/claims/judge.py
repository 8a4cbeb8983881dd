"""Is a claim true of the table? One number a repetition, its interval over repetitions, and a verdict."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from netcaliper.reading.numerals import plural
from netcaliper.reading.study import ClaimResult, Effect, PaperResult, StudyCell
from netcaliper.study.claims.claim_schema import LOGARITHMIC, Claim
from netcaliper.study.claims.rows import TWIN, Rows, label_of, order_of
from netcaliper.study.claims.samples import Side, effect_of, sample_of, unscaled
from netcaliper.study.claims.selection import Selected, no_column, select
from netcaliper.study.claims.statistics import NoNumber, numbers_in, why_missing
from netcaliper.study.claims.verdict import verdict_of
from netcaliper.study.claims.words import interval_words, reads, threshold_words, unit_words


def judge(claim: Claim, table: Rows, cells: Sequence[StudyCell]) -> ClaimResult:
    """Test a claim on the table of a study.

    The interval of the mean over repetitions is that of ``netcaliper.stats.repetitions.mean_interval``; that of a core
    is the delete-one-repetition jackknife with Student's t. Growths and ratios are averaged as logarithms.

    Args:
        claim: from the study file.
        table: one row a cell and epoch, with ``cell``, ``epoch`` and ``final``.
        cells: of the study, computed or not.

    Returns:
        The result. What cannot be decided is ``undecided`` with the reason; nothing is raised for what the table lacks.
    """
    every_epoch = claim.runs_along == "epoch"
    parts = [select(where, table, cells, every_epoch=every_epoch) for where in _wheres(claim)]
    touched = {cell.name: cell for part in parts for cell in part.cells}.values()
    missing = sum(cell.status == "missing" for cell in touched)
    failed = sum(cell.status == "failed" for cell in touched)
    result = ClaimResult(
        name=claim.name,
        sentence=claim.sentence,
        why=claim.why,
        revised=claim.revised,
        reads=reads(claim),
        verdict="undecided",
        unit=unit_words(claim),
        threshold=threshold_words(claim),
        least=claim.claimed[0],
        most=claim.claimed[1],
        beside_twin=claim.beside_twin,
        paper=_paper(claim),
        cells=len(touched),
        cells_missing=missing,
        cells_failed=failed,
    )
    named = zip(_part_names(claim), parts, strict=True)
    told = {part.problem: f"{name}: {part.problem}" if name else part.problem for name, part in reversed([*named])}
    problems = [words for problem, words in reversed(told.items()) if problem and words]
    if missing and missing < len(touched):
        problems.append(f"{missing} of {len(touched)} cells {'is' if missing == 1 else 'are'} not computed yet")
    if failed:
        problems.append(f"{failed} of {len(touched)} cells failed")
    if any(part.problem for part in parts):
        return result.model_copy(update={"reason": "; ".join(problems)})
    if claim.statistic == "reported":
        return _reported(claim, parts[0], result, problems)
    return _over_repetitions(claim, parts, result, problems, every_epoch=every_epoch)


def _over_repetitions(
    claim: Claim, parts: Sequence[Selected], result: ClaimResult, problems: list[str], *, every_epoch: bool
) -> ClaimResult:
    """Fill in the effect, its interval, that beside the twin, and the verdict."""
    rows = parts[0].rows
    if not any(claim.per in row for row in rows):
        problems.append(no_column(claim.per, {column for row in rows for column in row}))
    elif not all(claim.per in row for row in rows):
        problems.append(f"rows without a `{claim.per}` are among them, as comparisons have; narrow `where`")
    point = sorted({"family", *(column for part in parts for cell in part.cells for column in cell.columns)})
    point = [column for column in [*point, *(["epoch"] if every_epoch else [])] if column != claim.per]
    lacking = _lacking(claim, parts)
    main, other = _sides(claim, [_without(part, claim.per, lacking) for part in parts])
    sample = sample_of(claim, main, other, point)
    outside = dict.fromkeys(words for part in parts for words in part.outside)
    left_out = (*(f"{claim.per} {label}: {words}" for label, words in lacking.items()), *sample.left_out, *outside)
    effect = effect_of(claim, sample, logarithmic=claim.logarithmic)
    count = len(sample.values)
    if count < claim.seeds:
        problems.append(
            f"{plural(count, 'repetition')} where at least {claim.seeds} are asked for"
            + (f" ({left_out[0]})" if left_out else "")
        )
    twin, lacks = None, ""
    if claim.beside_twin:
        against = replace(main, column=TWIN + claim.column)
        difference = claim.model_copy(update={"over": None})
        beside = sample_of(difference, main, against, point)
        twin = effect_of(difference, beside, logarithmic=claim.statistic in LOGARITHMIC)
        if len(beside.values) < claim.seeds:
            said = f" ({beside.left_out[0]})" if beside.left_out else ""
            lacks = f"the twin is there in {plural(len(beside.values), 'repetition')}{said}"
    if effect is None or effect.low is None:
        problems = problems or [f"there is no interval ({sample.left_out[-1]})"]
    if problems or effect is None:
        decided = ("undecided", "; ".join([*problems, lacks] if lacks else problems))
    else:
        decided = verdict_of(claim, effect, twin, lacks)
    return result.model_copy(
        update={
            "verdict": decided[0],
            "reason": decided[1],
            "effect": effect,
            "interval": interval_words(claim, count) if effect and effect.low is not None else "",
            "repetitions": count,
            "values": {label: unscaled(value, logarithmic=claim.logarithmic) for label, value in sample.values.items()},
            "left_out": left_out,
            "twin": twin,
        }
    )


def _reported(claim: Claim, part: Selected, result: ClaimResult, problems: list[str]) -> ClaimResult:
    """Take one row's number with its own interval."""
    count = len(part.rows)
    if count != 1:
        problems.append(f"`reported` takes one row, and {count} are selected; narrow `where`")
        return result.model_copy(update={"reason": "; ".join(problems)})
    ends = [claim.column + end for end in ("_low", "_high")]
    known = all(part.rows[0].get(end) is not None for end in ends)
    try:
        found = [float(numbers_in(part.rows, column)[0]) for column in [claim.column, *(ends if known else ())]]
    except NoNumber as reason:
        return result.model_copy(update={"reason": "; ".join([*problems, str(reason)])})
    effect = Effect(value=found[0], low=found[1] if known else None, high=found[2] if known else None)
    if not known:
        why = why_missing(part.rows[0], ends[0])
        problems.append(f"`{claim.column}` is reported without an interval{why}")
    verdict, reason = ("undecided", "; ".join(problems)) if problems else verdict_of(claim, effect, None)
    return result.model_copy(
        update={
            "verdict": verdict,
            "reason": reason,
            "effect": effect,
            "interval": "that of the comparison itself (95 %)" if known else "",
            "repetitions": int(part.rows[0].get("networks") or 1),
        }
    )


def _wheres(claim: Claim) -> list[dict[str, Any]]:
    """Return the conditions of every part: the claim's own, the other side's, and the references of both."""
    change = claim.change
    found = [claim.where] + ([claim.where | change.where] if change else [])
    cores = found[:1] if change and change.statistic else found
    return found + ([where | claim.reference.where for where in cores] if claim.reference else [])


def _part_names(claim: Claim) -> list[str]:
    """Name the parts in the order of ``_wheres``; the claim's own has no name."""
    found = [""] + ([] if claim.change is None else ["minus" if claim.over is None else "over"])
    cores = found[:1] if claim.change and claim.change.statistic else found
    return found + ([f"reference{' of ' + name if name else ''}" for name in cores] if claim.reference else [])


def _lacking(claim: Claim, parts: Sequence[Selected]) -> dict[str, str]:
    """Return the repetitions of which cells are not done: a number of the others would be another number."""
    cells = {cell.name: cell for part in parts for cell in part.cells if cell.columns.get(claim.per) is not None}
    found: dict[str, str] = {}
    for value in sorted({cell.columns[claim.per] for cell in cells.values()}, key=order_of):
        own = [cell.status for cell in cells.values() if cell.columns[claim.per] == value]
        if own.count("done") < len(own):
            found[label_of(value)] = f"{len(own) - own.count('done')} of {plural(len(own), 'cell')} not done"
    return found


def _without(part: Selected, per: str, lacking: Collection[str]) -> Selected:
    return replace(part, rows=[row for row in part.rows if label_of(row.get(per)) not in lacking])


def _sides(claim: Claim, parts: Sequence[Selected]) -> tuple[Side, Side | None]:
    change = claim.change
    references = [part.rows for part in parts[1 if change is None else 2 :]]
    main = Side(claim.column, parts[0].rows, references[0] if references else ())
    if change is None:
        return main, None
    theirs = references[1] if len(references) > 1 else ()
    return main, Side(change.column or claim.column, parts[1].rows, theirs, is_mean=change.statistic == "mean")


def _paper(claim: Claim) -> PaperResult | None:
    return (
        PaperResult(value=claim.paper.value, where=claim.paper.where) if claim.paper and claim.paper.verified else None
    )
