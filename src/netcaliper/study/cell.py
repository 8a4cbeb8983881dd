"""A cell: one training, one bending of a trained network, or one comparison of trained networks."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

CELL_VERSION = 1
"""Of what a configuration means and a cell's folder holds; cells of another version are never mixed in."""

Kind = Literal["train", "bend", "compare"]


@dataclass(frozen=True)
class Cell:
    """A point of a study's grid, a pure function of its configuration.

    Attributes:
        kind: ``"train"``, ``"bend"`` or ``"compare"``.
        family: name of the family, bend or comparison in the study file.
        columns: what the table says of it: by column a scalar.
        configuration: plain JSON; everything that determines the result and nothing else.
        needs: names of the cells it stands on (of a bend its training, then for ``"random"`` the learned bend; of a
            comparison its members).
    """

    kind: Kind
    family: str
    columns: Mapping[str, Any]
    configuration: Mapping[str, Any]
    needs: tuple[str, ...] = ()

    @cached_property
    def name(self) -> str:
        """16 hex digits of the SHA-256 of everything that determines the result, as canonical JSON."""
        content = {
            "schema": CELL_VERSION,
            "kind": self.kind,
            "configuration": self.configuration,
            "needs": list(self.needs),
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
