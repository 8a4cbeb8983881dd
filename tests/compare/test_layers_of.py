"""One network: what is put into its record agrees with the arrays it is read off."""

import numpy as np
import pytest
import torch

from netcaliper.compare.alignment import Method, Network, align
from netcaliper.compare.cka import comparable
from netcaliper.compare.layers import within
from netcaliper.feed.sample import hold
from netcaliper.stats.blocks import FoundBlock
from netcaliper.trace.residual import residual_blocks
from netcaliper.trace.trace import trace
from netcaliper.zoo.resnet import ResNet

METHOD = Method(batch=20, passes=2)
PARTS = frozenset({"components", "neighbors", "procrustes", "probes"})
SAID = []


def tell(phase, done, total):
    SAID.append((phase, done, total))


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    model = ResNet(depth=8, width=0.25, recipe="nguyen", size=8).eval()
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(120, 3, 8, 8, generator=generator), torch.randint(0, 3, (120,), generator=generator)
    data = list(zip(x.split(30), y.split(30), strict=True))
    graph = trace(model, x[:4])
    chosen, skipped = comparable(graph, "all", METHOD)
    sample = hold(data, graph.form, examples=120, seed=0, limit=None)
    network = Network(graph, chosen)
    read = within(align([network], sample, METHOD), network, slice(None), "net", skipped)
    read.read_held(sample, METHOD, PARTS, seed=0, tell=tell, phase="held")
    read.read_variants(sample, sample, METHOD, tell=tell, phase="again")
    read.found = (FoundBlock("all", 4, 8, 5, 5 / len(chosen), 0.95, 0.9, 0.3),)
    return read


def test_probes_stand_at_the_stream_before_its_sums_and_at_both_ends(found):
    probed = {layer.name for layer, p in zip(found.layers, found.arrays["probe"], strict=True) if np.isfinite(p)}
    branches = {block.branch for block in residual_blocks(found.network.graph).blocks}
    ends = {found.layers[0].name, found.layers[-1].name}
    expected = {layer.name for layer in found.layers if layer.kind == "stream" or layer.node in branches} | ends
    assert probed == expected
    assert set(found.record().probing.penalty) == {i for i, layer in enumerate(found.layers) if layer.name in expected}


def test_a_block_is_told_by_the_arrays_inside_of_it(found):
    block = found.record().blocks[0]
    inside, arrays = range(4, 9), found.arrays
    pairs = [(a, b) for a in inside for b in inside if a < b]
    assert block.first_pc_share == pytest.approx(arrays["pc_share"][4:9, 0].mean())
    assert block.first_pc_share_outside == pytest.approx(np.delete(arrays["pc_share"][:, 0], inside).mean())
    assert block.first_pc_cosine == pytest.approx(np.mean([arrays["pc_cosine"][pair] for pair in pairs]))
    for field, name in (("without_first_pc", "cka_without_pc"), ("without_dominant", "cka_without_dominant")):
        assert getattr(block, field) == pytest.approx(np.mean([arrays[name][pair] for pair in pairs])), name
    assert "layers 4 to 8" in block.sentence


def test_dominant_examples_carry_the_first_component_of_their_layer(found):
    dominant = found.record().dominant
    weight = found.arrays["pc_scores"][dominant.layer] ** 2
    places = np.flatnonzero(np.isin(found.held_index, dominant.examples))
    assert set(places) == set(np.argsort(-weight)[: len(places)])
    assert 0 < dominant.chance < 0.2


def test_the_first_component_is_gone_from_its_matrix(found):
    """Oracle: features without their projection on u_1, over the batches of the same partition."""
    from netcaliper.stats.gram import u_center_

    sample = hold_again(found)
    wanted = [5, 6]
    rows = {}
    graph = found.network.graph
    for batch in sample.in_order(50):
        for place in wanted:
            layer = found.layers[place]

            def keep(value, *inputs, place=place, layer=layer, size=batch.size):
                rows.setdefault(place, []).append(layer.rows(value, size).double().clone())

            graph.run(batch, taps={f"%{layer.node}": keep})
    products = np.zeros((2, 2))
    for of_pass in range(2):
        for batch in sample.partition(of_pass, METHOD.batch):
            place_of = {int(index): at for at, index in enumerate(sample.index)}
            at = [place_of[int(index)] for index in batch.indices]
            grams = []
            for place in wanted:
                x = torch.cat(rows[place])
                x = x - x.mean(0)
                u = torch.from_numpy(found.arrays["pc_scores"][place])[:, None]
                left = (x - u @ (u.T @ x))[at]
                grams.append(u_center_(left @ left.T))
            products += np.array([[float((a * b).sum()) for b in grams] for a in grams])
    oracle = products[0, 1] / np.sqrt(products[0, 0] * products[1, 1])
    assert found.arrays["cka_without_pc"][5, 6] == pytest.approx(oracle, abs=1e-4)


def hold_again(found):
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(120, 3, 8, 8, generator=generator), torch.randint(0, 3, (120,), generator=generator)
    data = list(zip(x.split(30), y.split(30), strict=True))
    return hold(data, found.network.graph.form, examples=120, seed=0, limit=None)


def test_what_is_done_is_told(found):
    assert {phase for phase, _, _ in SAID} == {
        "held", "again, norms made equal", "again, first component removed", "again, without dominant examples"
    }  # fmt: skip
    assert all(done <= total for _, done, total in SAID)
