"""Reading the data back out of a chart."""

from typing import Any

from netcaliper.report.figures.figure import Figure


def values(figure: Figure, layer: int = 0) -> list[dict[str, Any]]:
    """Return the rows that a layer of a figure draws."""
    spec = figure.spec()
    data = spec["layer"][layer]["data"] if "layer" in spec and "data" in spec["layer"][layer] else spec["data"]
    return data["values"] if "values" in data else spec["datasets"][data["name"]]
