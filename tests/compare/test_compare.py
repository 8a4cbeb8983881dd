"""Networks against each other: what their layers say and what they answer."""

import json
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from compared import data, graph, mlp, state, trained, unchanged, unchecked
from netcaliper.compare.cka import cka
from netcaliper.compare.compare import compare
from netcaliper.errors import DataError, InputError
from netcaliper.fit.seeds import seeded
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.store import load_as
from netcaliper.report.page import render
from netcaliper.stats.intervals import clopper_pearson
from netcaliper.trace.graph import Graph
from netcaliper.trace.trace import trace
from netcaliper.zoo.cnn import CNN
from netcaliper.zoo.data import digits
from netcaliper.zoo.decoder import Decoder

EXAMPLES = 160
EIGHT: Any = {"passes": 2, "batch": 20}
"""Eight batches, from which on there are standard errors."""

KEYS = ("cka", "standard_error", "partition_error")


def given(size: int = 80) -> list:
    return data(EXAMPLES, size)


def read(networks, batches=None, **options: Any) -> LayersReading:
    return compare(networks, given() if batches is None else batches, **{"passes": 1, "batch": 80, **options})


@cache
def seeds() -> LayersReading:
    """Two groups: three narrow networks and two wider and deeper ones."""
    narrow, wide = [trained(seed) for seed in range(3)], [trained(seed, (20, 12, 8)) for seed in range(2)]
    return read(
        {"narrow": narrow, "wide": wide}, superclasses={str(k): "even" if k % 2 == 0 else "odd" for k in range(10)}
    )


@cache
def pair() -> LayersReading:
    return read({"one": graph(0), "other": graph(1)}, **EIGHT)


def outputs(models) -> tuple[np.ndarray, np.ndarray]:
    x, y = (torch.cat(part) for part in zip(*given(), strict=True))
    with torch.no_grad():
        return np.stack([model(x).numpy() for model in models]), y.numpy()


# ---- layers


def test_two_networks():
    reading = pair()
    assert [network.name for network in reading.networks] == ["one", "other"]
    assert reading.networks[0].fingerprint != reading.networks[1].fingerprint
    (cross,) = reading.crossings
    assert (cross.first, cross.second) == (0, 1)
    names = ["input", "hidden.0.linear", "hidden.0.act", "hidden.1.linear", "hidden.1.act", "head"]
    assert all([layer.name for layer in network.layers] == names for network in reading.networks)
    for key in KEYS:
        assert reading.arrays[f"cross/0/{key}"].shape == reading.arrays[f"0/{key}"].shape == (6, 6)
        assert reading.arrays[f"cross/0/{key}"].dtype == np.float64
    matrix = reading.arrays["cross/0/cka"]
    assert matrix[0, 0] == pytest.approx(1, abs=1e-6)  # both have the same input
    assert (matrix[1:, 1:] < 0.999).all()
    assert list(cross.best) == [int(row.argmax()) for row in matrix]
    assert cross.matched == np.mean([place == best for place, best in enumerate(cross.best)])
    assert cross.matched != 1
    assert cross.inside is None  # no block anywhere
    assert cross.outside == pytest.approx(np.diag(matrix).mean())
    assert (reading.groups, reading.differences) == ((), ())  # nobody said that these are seeds
    assert np.isfinite(reading.arrays["cross/0/standard_error"]).all()  # eight batches
    assert reading.estimator.batches == 8
    assert reading.cost.passes == 2 * (1 + 2 + 1)  # answers, two passes, components


def test_a_matrix_is_that_of_the_network_alone():
    alone = cka(graph(0), given(), passes=2, batch=20)
    for key, expected in zip(KEYS, (alone.matrix, alone.standard_error, alone.partition_error), strict=True):
        np.testing.assert_allclose(pair().arrays[f"0/{key}"], expected, atol=1e-6)


def test_a_network_with_itself_and_the_order_of_two():
    reading = read({"a": graph(0), "again": graph(0), "b": graph(1)})
    own = reading.arrays["0/cka"]
    np.testing.assert_allclose(reading.arrays["cross/0/cka"], own, atol=1e-6)
    np.testing.assert_array_equal(reading.arrays["1/cka"], own)
    same, first, second = reading.crossings
    assert (same.matched, same.best) == (1, tuple(range(6)))
    assert same.dominant_overlap == 1
    assert same.dominant_chance is not None
    assert same.dominant_chance < 0.1
    assert same.outside == pytest.approx(1, abs=1e-6)
    assert (first.best, first.matched, first.outside) == (second.best, second.matched, second.outside)
    turned = read({"b": graph(1), "a": graph(0)})
    np.testing.assert_allclose(turned.arrays["cross/0/cka"], reading.arrays["cross/1/cka"].T, atol=1e-6)
    turned = read({"other": graph(1), "one": graph(0)}, **EIGHT)
    for key in KEYS:
        np.testing.assert_allclose(turned.arrays[f"cross/0/{key}"], pair().arrays[f"cross/0/{key}"].T, atol=1e-6)
    (agreement, _, _) = reading.agreements
    assert agreement.agreement.value == 1
    assert agreement.logit_distance == 0
    assert agreement.churn == 0
    assert turned.agreements[0].logit_distance == pytest.approx(pair().agreements[0].logit_distance)


class Scaled(nn.Module):
    """A layer and a multiple of it are the same to CKA."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(3):
            self.first, self.last = nn.Linear(64, 6), nn.Linear(6, 10)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x.flatten(1)) * 0.3))


def test_of_equal_layers_the_one_of_the_same_name_matches():
    own = trace(Scaled().eval(), given()[0][0])
    (cross,) = read([own, own]).crossings
    assert cross.best == (0, 1, 2, 3, 4)
    assert cross.matched == 1


def test_other_architectures_are_compared_at_equal_relative_depth():
    with seeded(0):
        conv = trace(CNN(widths=(4, 6), channels=1).eval(), given()[0][0], name="conv")
    reading = read([graph(0), conv, graph(0, widths=(10,))])
    sizes = [len(network.layers) for network in reading.networks]
    assert len(set(sizes)) == 3
    for number, cross in enumerate(reading.crossings):
        matrix = reading.arrays[f"cross/{number}/cka"]
        assert matrix.shape == (sizes[cross.first], sizes[cross.second])
        assert reading.arrays[f"cross/{number}/partition_error"].shape == matrix.shape
        assert cross.matched is None  # layers have other names
        assert list(cross.best) == [int(row.argmax()) for row in matrix]
        at = np.round(np.linspace(0, sizes[cross.second] - 1, sizes[cross.first])).astype(int)
        inside = np.zeros(sizes[cross.first], dtype=bool)
        for place, column in enumerate(at):
            for where, layer in ((cross.first, place), (cross.second, column)):
                inside[place] |= any(b.first <= layer <= b.last for b in reading.networks[where].blocks)
        depth = matrix[np.arange(len(at)), at]
        for found, which in ((cross.inside, inside), (cross.outside, ~inside)):
            assert found == (pytest.approx(depth[which].mean()) if which.any() else None)
    assert [(cross.first, cross.second) for cross in reading.crossings] == [(0, 1), (0, 2), (1, 2)]
    assert [network.name for network in reading.networks] == ["network 1", "network 2", "network 3"]


def test_a_dead_layer_is_a_gap_in_the_crossing():
    class Dead(nn.Module):
        def __init__(self, dead):
            super().__init__()
            with seeded(4):
                self.first, self.last = nn.Linear(64, 6), nn.Linear(6, 10)
            if dead:
                nn.init.constant_(self.first.bias, -100)

        def forward(self, x):
            x = x.flatten(1)
            return self.last(torch.relu(self.first(x))) + x[:, :10]

    whole, dead = (trace(Dead(dead).eval(), given()[0][0]) for dead in (False, True))
    reading = read([dead, whole])
    (cross,) = reading.crossings
    names = [layer.name for layer in reading.networks[0].layers]
    relu = names.index(next(name for name in names if "relu" in name))
    assert reading.networks[0].layers[relu].reason == "constant: it is the same for all examples"
    assert np.isnan(reading.arrays["cross/0/cka"][relu]).all()
    assert cross.best[relu] == -1
    known = [place == best for place, best in enumerate(cross.best) if best >= 0]
    assert cross.matched == np.mean(known)
    assert cross.outside is not None
    assert np.isfinite(cross.outside)


# ---- groups


def test_only_some_networks_of_a_group_show_their_layers_and_all_answer():
    reading = read({"g": [graph(seed) for seed in range(3)], "h": graph(4)}, represented=1)
    assert [network.name for network in reading.networks] == ["g.1", "g.2", "g.3", "h"]
    assert [len(network.layers) for network in reading.networks] == [6, 0, 0, 6]
    assert [(cross.first, cross.second) for cross in reading.crossings] == [(0, 3)]
    assert len({network.fingerprint for network in reading.networks}) == 4
    assert all(network.accuracy is not None for network in reading.networks)
    assert len(reading.agreements) == 6
    assert {key.split("/")[0] for key in reading.arrays} == {"0", "3", "cross", "group", "images"}
    assert len(read({"g": [graph(0), graph(1)]}, represented=9).crossings) == 1


def test_groups_of_seeds_answer_as_computed_directly():
    reading = seeds()
    models = [trained(seed) for seed in range(3)] + [trained(seed, (20, 12, 8)) for seed in range(2)]
    scores, labels = outputs(models)
    right = scores.argmax(-1) == labels
    assert [n.accuracy for n in reading.networks] == pytest.approx(right.mean(1))
    narrow, wide = reading.groups
    assert (narrow.name, narrow.networks) == ("narrow", (0, 1, 2))
    assert (wide.name, wide.networks) == ("wide", (3, 4))
    for place, group in enumerate(reading.groups):
        mine = list(group.networks)
        np.testing.assert_allclose(reading.arrays[f"group/{place}/right"], right[mine].mean(0))
        assert group.accuracy is not None
        assert group.accuracy.value == pytest.approx(right[mine].mean())
        ensemble = softmax(scores[mine], axis=-1).mean(0).argmax(-1)
        assert group.ensemble == pytest.approx((ensemble == labels).mean())
        centered = scores[mine] - scores[mine].mean(-1, keepdims=True)
        assert group.seed_variance == pytest.approx(centered.var(0, ddof=1).sum(-1).mean(), rel=1e-5)
    for one in reading.agreements:
        a, b = scores[one.first].argmax(-1), scores[one.second].argmax(-1)
        assert one.agreement.value == pytest.approx((a == b).mean())
        assert (one.agreement.low, one.agreement.high) == pytest.approx(clopper_pearson(int((a == b).sum()), EXAMPLES))
        assert one.churn == pytest.approx((right[one.first] != right[one.second]).mean())
    (difference,) = reading.differences
    assert (difference.first, difference.second, difference.sizes) == ("narrow", "wide", (3, 2))
    assert difference.equivalence is not None
    assert difference.equivalence.difference == pytest.approx(100 * (right[:3].mean() - right[3:].mean()))
    assert difference.spread is not None
    assert difference.spread.observed == pytest.approx((right[:3].mean(0) - right[3:].mean(0)).std())
    assert set(difference.spread.split_half) == {"narrow", "wide"}
    for found in difference.classes:
        own = labels == int(found.name)
        assert (found.examples, found.first) == (own.sum(), pytest.approx(right[:3][:, own].mean()))
    assert {found.name: found.classes for found in difference.superclasses} == {"even": 5, "odd": 5}


def test_fewer_seeds_than_a_test_needs():
    (difference,) = seeds().differences
    assert difference.spread is not None
    assert np.isnan(difference.spread.low)
    assert any("no interval of the systematic spread" in reason for reason in difference.reasons)
    assert any("permutation tests cannot show anything" in reason for reason in difference.reasons)
    reading = read({"g": [graph(0), graph(1)], "alone": graph(2)})
    (difference,) = reading.differences
    assert (difference.equivalence, difference.spread, difference.classes) == (None, None, ())
    (reason,) = difference.reasons
    assert "at least 2 networks in either group, alone has 1; add seeds" in reason
    assert any("group alone has one network" in warning for warning in reading.warnings)


def test_a_reading_is_kept_and_drawn(tmp_path):
    for number, reading in enumerate(
        (pair(), seeds(), read({"g": [graph(0), graph(1)], "h": graph(2)}, represented=1))
    ):
        opened = load_as(LayersReading, reading.save(tmp_path / str(number)))
        assert json.loads(opened.model_dump_json()) == json.loads(reading.model_dump_json())
        assert opened.arrays.keys() == reading.arrays.keys()
        for key, array in reading.arrays.items():
            np.testing.assert_array_equal(opened.arrays[key], array)
        page = render(opened)
        for network in reading.networks:
            assert network.name in page
        assert "Traceback" not in page
        assert isinstance(opened, LayersReading)
        assert len(opened.to_frame()) == sum(len(network.layers) for network in reading.networks)
        assert opened._repr_html_()


# ---- how it is asked


def test_models_stay_as_they_are():
    models = [mlp(0), mlp(1), mlp(2, widths=(5,))]
    models[1].hidden[0].register_forward_hook(lambda *_: None)
    models[2].requires_grad_(False)
    before = [state(model) for model in models]
    random = torch.get_rng_state()
    reading = read({"g": models[:2], "h": models[2]})
    assert len(reading.crossings) == 3
    assert all(unchanged(model, old) for model, old in zip(models, before, strict=True))
    assert torch.equal(torch.get_rng_state(), random)


def test_the_same_again_and_from_a_loader_of_other_batches():
    networks = {"one": graph(0), "other": graph(1)}
    first, again = read(networks), read(networks)
    assert again.model_dump_json() == first.model_dump_json()
    for key, array in first.arrays.items():
        np.testing.assert_array_equal(again.arrays[key], array)
    other = read(networks, given(33))
    for key, array in first.arrays.items():
        if not key.endswith("pc_scores"):  # signs are arbitrary
            np.testing.assert_allclose(other.arrays[key], array, atol=1e-5)
    for a, b in zip(other.agreements, first.agreements, strict=True):
        assert a.agreement == b.agreement
        assert a.logit_distance == pytest.approx(b.logit_distance)
    changed = read(networks, seed=1, examples=100)
    assert changed.estimator.examples == 100
    assert not np.allclose(changed.arrays["cross/0/cka"], first.arrays["cross/0/cka"], atol=1e-4)
    assert changed.agreements == first.agreements  # all examples answer


def test_progress_and_cost():
    told = []
    reading = read([graph(0), graph(1)], progress=lambda *what: told.append(what), layers="sites", together=40)
    assert "forward passes of the data" in told[0][0]
    assert told[0][0].startswith(f"{reading.cost.passes:.1f} ")
    assert reading.cost.passes == pytest.approx(2 * (1 + 1 + 40 / EXAMPLES))
    phases = list(dict.fromkeys(phase for phase, _, _ in told[1:]))
    assert phases == ["predictions", "CKA of all layers", "components of network 1", "components of network 2"]
    assert [layer.name for layer in reading.networks[0].layers] == ["hidden.0.act", "hidden.1.act"]
    assert reading.estimator.chosen == "sites"
    assert set(reading.cost.seconds) >= {"trace", "hold", "CKA", "components", "predictions"}


# ---- other tasks


def test_regressions_are_compared_by_their_layers():
    reading = read([graph(0, classes=1), graph(1, classes=1)])
    assert len(reading.crossings) == 1
    assert (reading.agreements, reading.groups) == ((), ())
    assert any("outputs of a regression are no choice" in warning for warning in reading.warnings)
    assert [network.accuracy for network in reading.networks] == [None, None]


def test_without_labels():
    reading = read({"g": [graph(0), graph(1)], "h": [graph(2), graph(3)]}, [x for x, _ in given()])
    assert any("without labels nothing is said of accuracy" in warning for warning in reading.warnings)
    (difference,) = reading.differences
    assert difference.reasons == ("no labels: who is right is not known",)
    assert not any(key.startswith("group/") for key in reading.arrays)
    assert reading.groups[0].accuracy is None
    assert reading.groups[0].seed_variance is not None
    assert all(0 <= one.agreement.value <= 1 and one.churn is None for one in reading.agreements)
    assert render(reading)


IDS = torch.randint(0, 9, (48, 6), generator=torch.Generator().manual_seed(1))


@cache
def decoder(seed: int) -> Graph:
    with seeded(seed):
        model = Decoder(width=8, depth=1, heads=2, vocabulary=9, length=6).eval()
    return decoder(0).with_state(model.state_dict()) if seed else trace(model, IDS[:8], name="decoder")


@pytest.mark.parametrize("features", ["flatten", "tokens"])
def test_networks_of_tokens(features):
    reading = read([decoder(0), decoder(1), decoder(0)], list(IDS.split(16)), features=features)
    with torch.no_grad():
        a, b = (decoder(seed).run(IDS).output.argmax(-1) for seed in (0, 1))
    one, same, _ = reading.agreements
    assert one.agreement.value == pytest.approx(float((a == b).double().mean()))
    assert one.churn is None
    assert same.agreement.value == 1
    assert reading.crossings[1].matched == 1
    assert reading.groups == ()
    assert any("of tokens only agreement" in warning for warning in reading.warnings)


# ---- bad input


def dataloaders():
    return [torch.utils.data.DataLoader(digits().dataset, batch_size=8) for _ in range(2)]


LOADERS = {
    "torch": dataloaders,
    "tuple": lambda: tuple(dataloaders()),
    "by name": lambda: dict(zip("ab", dataloaders(), strict=True)),
    "data sets": lambda: [digits().dataset, digits().dataset],
    "Batches": lambda: [digits(), digits()],
    "lists of batches": lambda: [given(), given()],
    "three lists": lambda: [given(), given(), given(20)],
}


@pytest.mark.parametrize("case", LOADERS)
def test_one_loader_a_network(case):
    said = "`data` must be one loader for all networks, got [23]: two loaders pair different examples; pass one"
    with pytest.raises(DataError, match=said):
        read([graph(0), graph(1)], LOADERS[case]())


def test_lists_of_batches_are_no_loaders():
    x, y = given()[0]
    for batches in ([(x, y), (x, y)], [[x, y], [x, y]], [x, x]):
        assert read([graph(0), graph(1)], batches, batch=80).estimator.examples == 160


BAD = {
    "three examples": (lambda: read([graph(0), graph(1)], [given()[0][0][:3]]), DataError, "at least 4 examples"),
    "other inputs": (
        lambda: read([graph(0), mlp(0, inputs=32)]), DataError,
        "network 'network 2': `model` does not take `example`",
    ),
    "a graph of other inputs": (
        lambda: read([graph(0), trace(nn.Sequential(nn.Linear(9, 5), nn.ReLU()).eval(), torch.zeros(4, 9))]), DataError,
        "has shape .*, the traced example allows",
    ),
    "images and tokens": (lambda: read([graph(0), decoder(0)]), DataError, "input `.*` has dtype torch.float32"),
    "other classes": (
        lambda: read([graph(0), graph(0, classes=7)]), DataError, "must be for the same classes .*, got 7 and 10",
    ),
    "a choice and a regression": (
        lambda: read([graph(0), graph(0, classes=1)]), DataError, "must answer the same question",
    ),
    "labels too high": (
        lambda: read([graph(0), graph(1)], [(x, y + 5) for x, y in given()]), DataError, "must lie in 0 .. 9",
    ),
    "unknown layer": (
        lambda: read([graph(0), graph(1)], layers="stage9.*"), InputError, "must match layers of mlp, got 'stage9",
    ),
    "a layer that one has": (
        lambda: read([graph(0), graph(0, widths=(10,))], layers=["input", "hidden.1.*"]), InputError,
        "`layers` must match layers of .*, got 'hidden.1",
    ),
    "memory": (
        lambda: read([graph(0), graph(1)], memory=100_000), InputError,
        r"`memory` must hold what comparing 12 layers takes, about .*got .*; compare fewer layers \(layers='streams'",
    ),
    "memory for the inputs": (
        lambda: read([graph(0), graph(1)], memory=1000), InputError, r"hold fewer \(`examples`\)",
    ),
    "together": (lambda: read([graph(0), graph(1)], together=3), InputError, "`together` must be .* at least 4, got 3"),
    "together in words": (lambda: read([graph(0), graph(1)], together="all"), InputError, "`together` must be"),
    "represented": (lambda: read([graph(0), graph(1)], represented=0), InputError, "`represented` must be .* got 0"),
    "represented yes": (lambda: read([graph(0), graph(1)], represented=True), InputError, "`represented` must be"),
    "batch": (lambda: read([graph(0), graph(1)], batch=3), InputError, "`batch` must be .* at least 4, got 3"),
    "passes": (lambda: read([graph(0), graph(1)], passes=0), InputError, "`passes` must be"),
    "seed": (lambda: read([graph(0), graph(1)], seed=0.5), InputError, "`seed` must be an integer"),
    "features": (lambda: read([graph(0), graph(1)], features="mean"), InputError, "`features` must be one of"),
    "tokens of images": (lambda: read([graph(0), graph(1)], features="tokens"), InputError, "takes no tokens"),
    "names of some classes": (
        lambda: read([graph(0), graph(1)], classes=["cat"]), InputError, "must name each of the 10 classes .*got 1",
    ),
    "unknown superclass": (
        lambda: read([graph(0), graph(1)], superclasses={"cat": "animal"}), InputError, "'cat' is no class",
    ),
    "superclasses in a list": (
        lambda: read([graph(0), graph(1)], superclasses=["animal"]), InputError, "`superclasses` must map .* got list",
    ),
    "a device that is not here": (
        lambda: read([mlp(0), mlp(1)], device="cuda:77"), InputError, "`device` must be one that torch can use here",
    ),
    "a mapping": (lambda: read([graph(0), graph(1)], {"train": given()}), DataError, "`data` is a mapping"),
    "a generator": (lambda: read([graph(0), graph(1)], iter(given())), DataError, "one-shot"),
    "one network": (lambda: read([graph(0)]), InputError, "for the layers of one network use nc.layers"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, kind, said = BAD[case]
    with unchecked(), pytest.raises(kind, match=said):
        call()


def test_what_is_wrong_with_answers_is_said_before_layers_are_compared(monkeypatch):
    module = import_module("netcaliper.compare.compare")
    monkeypatch.setattr(module, "align", lambda *_, **__: pytest.fail("layers were compared"))
    with pytest.raises(DataError, match="same classes"):
        read([graph(0), graph(0, classes=7)])
    with pytest.raises(InputError, match="name each of the 10 classes"):
        read([graph(0), graph(1)], classes=["cat"])
