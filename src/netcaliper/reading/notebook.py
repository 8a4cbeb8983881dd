"""A reading in a notebook cell: the headline and one table, plain HTML without script or style sheet."""

from html import escape

from netcaliper.reading.headline import headline, network_verdict, twin_name
from netcaliper.reading.numerals import count, percent
from netcaliper.reading.schema import ReadingRecord
from netcaliper.reading.verdicts import verdict

MOST_ROWS = 60
HEADS = (
    "site", "op", "units", "dead", "constant", "duplicate", "dependent", "absorbable", "needed", "prunable",
    "redundant", "verdict",
)  # fmt: skip


def to_html(reading: ReadingRecord) -> str:
    """Render a reading as an HTML fragment for notebooks; every name is escaped, long networks are cut with a note."""
    twins = reading.twin.sites if reading.twin else ()
    heads = [*HEADS]
    if reading.twin:
        heads.insert(heads.index("needed") + 1, f"needed {twin_name(reading.twin)}")
    lines = []
    for index, site in enumerate(reading.sites[:MOST_ROWS]):
        numbers = [site.units, site.dead, site.constant, site.duplicate, site.dependent, site.absorbable, site.needed]
        if twins:
            numbers.append(twins[index].needed)
        shares = (site.prunable, site.redundant)
        cells = [
            cell(site.name, code=True),
            cell(site.op),
            *(cell(count(number), right=True) for number in numbers),
            *(cell(percent(share.value if share else None), right=True) for share in shares),
            cell(verdict(site)),
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    left = len(reading.sites) - MOST_ROWS
    more = f"<p>and {left:,} more sites: <code>reading.to_frame()</code> has them all.</p>" if left > 0 else ""
    return (
        f"<div><p><strong>{escape(headline(reading))}</strong> {escape(network_verdict(reading))}</p>"
        f"<table><thead><tr>{''.join(f'<th>{name}</th>' for name in heads)}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>{more}</div>"
    )


def cell(text: str, *, right: bool = False, code: bool = False) -> str:
    """Write one cell of a table, its text escaped."""
    align = "right" if right else "left"
    body = f"<code>{escape(text)}</code>" if code else escape(text)
    return f'<td style="text-align:{align};font-variant-numeric:tabular-nums">{body}</td>'
