"""What every page has: one file that asks for nothing, the style, the script, and the charts as data."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import netcaliper
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure

Layout = Literal["stack", "pair", "grid"]


@dataclass(frozen=True)
class Section:
    """Figures that belong together under one heading.

    Attributes:
        id: for addresses.
        title: the heading.
        figures: in order.
        layout: one below the other, two side by side, or as many side by side as there is room for.
    """

    id: str
    title: str
    figures: tuple[Figure, ...]
    layout: Layout


def fill(template: str, figures: Iterable[Figure], **words: Any) -> str:
    """Fill a template that extends ``skeleton.html``.

    Every word is escaped. The chart library is inlined once, and only where there are charts; the charts are data.

    Args:
        template: its file name.
        figures: every figure of the page.
        words: what the template asks for; a name that it does not get is an error.

    Returns:
        The page, without any outside reference.
    """
    loader = PackageLoader("netcaliper.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"breakable": _breakable, "prose": _prose}
    style = loader.get_source(environment, "page.css")[0].replace("{{ swatches }}", _swatches())
    specs = {figure.name: figure.spec() for figure in figures}
    return environment.get_template(template).render(
        version=netcaliper.__version__,
        style=Markup(style),
        script=Markup(loader.get_source(environment, "page.js")[0]),
        bundle=Markup(bundle()) if specs else "",
        charts=Markup(script_json(specs)) if specs else "",
        **words,
    )


def script_json(value: Any) -> str:
    """Write JSON that may stand inside a ``<script>`` element: no ``<``, ``>`` or ``&`` is left for a parser."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that may stand inside a ``<script>`` element."""
    return (
        vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
        .replace("</script", "<\\/script")
        .replace("<!--", "<\\!--")
    )


def _breakable(name: str) -> Markup:
    """Let a long name break after its dots and underscores rather than anywhere; everything else is escaped."""
    return Markup(re.sub(r"([._])", r"\1<wbr>", str(escape(name))))


def _prose(text: str) -> Markup:
    """Keep a number and its percent sign on one line, and set names in backticks as names."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)).replace(" %", "\u00a0%")))


def _swatches() -> str:
    return "\n".join(f"i.{name} {{ background: {color}; }}" for name, (_, color) in palette.PARTITION.items())
