"""A linearization in a notebook cell: the headline and one table, plain HTML without script or style sheet."""

from html import escape

from netcaliper.reading.linearization import LinearizationRecord
from netcaliper.reading.linearization_headline import HEADS, headline, lead, rows
from netcaliper.reading.notebook import MOST_ROWS, cell


def to_html(record: LinearizationRecord) -> str:
    """Render a linearization as an HTML fragment for notebooks; every name is escaped, long lists are cut."""
    laid = rows(record)
    lines = [
        f"<tr>{''.join(cell(value, right=place > 0) for place, value in enumerate(row))}</tr>"
        for row in laid[:MOST_ROWS]
    ]
    left = len(laid) - MOST_ROWS
    more = f"<p>and {left:,} more points: <code>reading.to_frame()</code> has them all.</p>" if left > 0 else ""
    return (
        f"<div><p><strong>{escape(headline(record))}</strong> {escape(lead(record))}</p>"
        f"<table><thead><tr>{''.join(f'<th>{name}</th>' for name in HEADS)}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>{more}</div>"
    )
