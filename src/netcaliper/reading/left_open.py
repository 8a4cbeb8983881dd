"""What was left open and why, and what makes numbers less sure: read out of reasons and warnings."""

from collections.abc import Sequence

from netcaliper.reading.schema import ReadingRecord


def reasons(reason: str | None) -> tuple[str, ...]:
    """Take apart a ``reason`` that joins those of several measures by ``"; "``.

    A measure's reason says what and why, ``"prunable: undefined"``; a part without a colon goes on with the one before.
    """
    parts: list[str] = []
    for part in (reason or "").split("; "):
        if parts and ": " not in part:
            parts[-1] += f"; {part}"
        elif part:
            parts.append(part)
    return tuple(parts)


def left_open(reason: str | None, measure: str) -> str | None:
    """Return why one measure was left open, from reasons such as ``"prunable: undefined: one class holds 93 %"``."""
    start = f"{measure}: "
    return next((part.removeprefix(start) for part in reasons(reason) if part.startswith(start)), None)


def why_not_prunable(warnings: Sequence[str]) -> str | None:
    """Return why a whole network has no prunable share: a warning ``network: prunable: ...`` says so."""
    ours = (warning.removeprefix("network: ") for warning in warnings if warning.startswith("network: "))
    return next((why.rstrip(".") for why in (left_open(warning, "prunable") for warning in ours) if why), None)


def undefined(warnings: Sequence[str]) -> str | None:
    """Return why the prunable share of a whole network is undefined; ``None`` if it is not."""
    why = why_not_prunable(warnings)
    return why if why and why.startswith("undefined") else None


def all_warnings(reading: ReadingRecord) -> tuple[str, ...]:
    """List every warning with what it is about: of the reading, of single sites, of the twin."""
    return (
        *reading.warnings,
        *(f"{site.name}: {warning}" for site in reading.sites for warning in site.warnings),
        *(f"twin: {warning}" for warning in (reading.twin.warnings if reading.twin else ())),
    )
