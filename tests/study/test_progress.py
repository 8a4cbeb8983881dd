import json

from netcaliper.study import progress


def test_writes_at_most_twice_a_second(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(progress, "monotonic", lambda: now)
    file = tmp_path / "progress.json"
    tell = progress.Progress(file)
    tell(0.1, "epoch 1 of 10")
    assert json.loads(file.read_text()) == {"done": 0.1, "words": "epoch 1 of 10"}
    now = 100.49
    tell(0.2, "epoch 2 of 10")
    assert json.loads(file.read_text())["done"] == 0.1
    now = 100.5
    tell(0.3, "epoch 3 of 10")
    assert json.loads(file.read_text())["done"] == 0.3
