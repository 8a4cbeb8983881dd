"""A reading of layers in a notebook cell: the headline and one table, plain HTML without script or style sheet."""

from html import escape

from netcaliper.reading.layers import LayersRecord
from netcaliper.reading.layers_headline import headline, lead
from netcaliper.reading.layers_names import everyone
from netcaliper.reading.notebook import MOST_ROWS, cell
from netcaliper.reading.numerals import count, percent

HEADS = ("network", "layers", "distinct", "sufficient", "blocks that can go", "accuracy", "block structures")


def to_html(record: LayersRecord) -> str:
    """Render a reading as an HTML fragment for notebooks; every name is escaped, long lists are cut with a note."""
    networks = everyone(record)
    lines = []
    for _, label, network in networks[:MOST_ROWS]:
        depth = network.depth
        numbers = (depth.layers, depth.distinct, depth.sufficient, depth.droppable)
        cells = [
            cell(label, code=True),
            *(cell(count(number), right=True) for number in numbers),
            cell(percent(network.accuracy), right=True),
            cell(str(len(network.blocks)), right=True),
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    left = len(networks) - MOST_ROWS
    more = f"<p>and {left:,} more networks: <code>reading.to_frame()</code> has them all.</p>" if left > 0 else ""
    return (
        f"<div><p><strong>{escape(headline(record))}</strong> {escape(lead(record))}</p>"
        f"<table><thead><tr>{''.join(f'<th>{name}</th>' for name in HEADS)}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>{more}</div>"
    )
