import numpy as np
import pytest

from netcaliper.feed.protocol import Findings
from netcaliper.measure.needed_answer import Needed
from netcaliper.measure.site_record import idle_first, needed_findings, site_answer
from netcaliper.trace.site import Site

SITE = Site(
    name="s", kind="activation", op="relu", units=5, axis=1, batch_axis=0, node="n", inputs=("z",), activation=None,
    consumers=(), readers=(), barriers=(), refused=None, rows_of_units=np.arange(5), group=None,
)  # fmt: skip


def marks(*units):
    return np.isin(np.arange(5), units)


STATES = Findings({"dead": 1, "constant": 1}, marks={"dead": marks(0), "constant": marks(1)})
REDUNDANT = Findings(
    {"rows": 40, "select_rows": 20},
    {"r2": np.array([np.nan, np.nan, 1.0, 0.2, 0.3])},
    {"removed": marks(2), "duplicate": marks()},
    {"redundant": np.ones(10)},
    warnings=("few rows.",),
)


def absorbed(*order, reason=None):
    gone = np.array(order)
    if reason is not None:
        return needed_findings(Needed("s", 5, 0.01, reason=reason))
    path = {"next": np.linspace(0, 0.01, len(gone))}
    return needed_findings(
        Needed("s", 5, 0.01, 5 - len(gone), np.setdiff1d(np.arange(5), gone), gone, path, {"next": 0.007})
    )


def test_what_is_idle_goes_first():
    stage = idle_first({"unit_states": STATES, "redundant": REDUNDANT}, 5)
    assert stage.tolist() == [0, 0, 0, 1, 1]
    assert idle_first({}, 5).tolist() == [1] * 5


def test_a_unit_is_absorbable_only_if_nothing_else_explains_it():
    found = {"unit_states": STATES, "redundant": REDUNDANT, "needed": absorbed(0, 1, 2, 4)}
    answer = site_answer(SITE, found, examples=30, positions=1)
    record = answer.record
    parts = (record.dead, record.constant, record.duplicate, record.dependent, record.absorbable, record.needed)
    assert parts == (1, 1, 0, 1, 1, 1)
    assert answer.arrays["verdict"].tolist() == [0, 1, 3, 5, 4]
    assert answer.arrays["absorb_order"].tolist() == [0, 1, 2, 4]
    assert record.unexplained == {"next": 0.007}
    assert (record.rows, record.select_rows, record.reason, record.warnings) == (40, 20, None, ("few rows.",))
    assert answer.left_out["redundant"].sum() == 10


@pytest.mark.parametrize(
    ("found", "reason", "counts"),
    [
        ({"unit_states": STATES, "redundant": REDUNDANT}, "not measured: needed", (None, 2)),
        ({"unit_states": STATES}, "not measured: redundant, needed", (None, None)),
        (
            {"unit_states": STATES, "redundant": REDUNDANT, "needed": absorbed(reason="it is a mystery")},
            "absorbable units not judged: it is a mystery",
            (None, 2),
        ),
    ],
)
def test_what_was_not_judged_is_said(found, reason, counts):
    record = site_answer(SITE, found, examples=30, positions=1).record
    assert record.reason == reason
    assert (record.absorbable, record.needed) == counts


def test_units_too_rare_for_the_sampled_rows_are_warned_about():
    rare = Findings(REDUNDANT.fields, {"r2": np.array([np.nan, np.nan, 1.0, np.nan, 0.3])}, REDUNDANT.marks)
    record = site_answer(SITE, {"unit_states": STATES, "redundant": rare}, examples=30, positions=1).record
    assert record.warnings == (
        "1 units vary too rarely to be judged on the sampled rows and count as needed; give more examples.",
    )
