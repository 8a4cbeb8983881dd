from netcaliper.reading.study import ClaimResult, StudyCell, StudyReading


def test_cells_and_claims_are_counted():
    cells = [
        StudyCell.model_validate({"name": name, "kind": "train", "family": family, "status": status})
        for name, family, status in (("a", "f", "done"), ("a", "g", "done"), ("b", "f", "failed"))
    ]
    claims = [
        ClaimResult(name=str(k), sentence="s", reads="r", verdict=verdict, threshold="above 1")
        for k, verdict in enumerate(("holds", "holds", "undecided"))
    ]
    reading = StudyReading(title="T", name="t", scale="tiny", command="c", cells=tuple(cells), claims=tuple(claims))
    assert [reading.counted(status) for status in ("done", "failed", "missing")] == [1, 1, 0]
    assert [reading.judged(verdict) for verdict in ("holds", "contradicted", "undecided")] == [2, 0, 1]
