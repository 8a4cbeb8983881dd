"""``nc.shrink`` end to end, on small networks that read digits."""

import copy
import io
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bestiary import NoisyInEval
from netcaliper.bending.bending import Bending
from netcaliper.errors import DataError, InputError
from netcaliper.fit.seeds import seeded
from netcaliper.reading.shrinking import ShrinkPlan
from netcaliper.reading.shrinking_folder import plan_bytes, read_plan
from netcaliper.shrink.parts import Parts
from netcaliper.shrink.shrink import Shrunk, apply_plan, shrink
from netcaliper.surgery.fold import fold
from netcaliper.surgery.shrunk_folder import load_shrunk
from netcaliper.trace.graph import Graph
from netcaliper.zoo.mlp import MLP
from shrinking_digits import data, network, with_slack


@pytest.fixture(scope="module")
def small() -> Shrunk:
    return shrink(network("mlp"), data(), parameters=0.5)


@pytest.fixture(scope="module")
def cnn() -> tuple[nn.Module, dict[str, Tensor], Shrunk]:
    """Return a network with a dead unit behind a BatchNorm, its state before, and the smaller one."""
    model = copy.deepcopy(network("cnn"))
    norm: Any = model.stages[1][0].norm  # type: ignore[index]
    with torch.no_grad():
        norm.weight[2], norm.bias[2] = 0, -1
    before = {name: value.clone() for name, value in model.state_dict().items()}
    return model, before, shrink(model, data(), macs=0.6, round_to=4)


def answers(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return torch.cat([model(x) for x, _ in data()])


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# ---- targets


def test_a_share_of_the_parameters(small):
    found = small.proof
    assert found.target_met
    assert found.parameters_after == size(small.model) <= 0.5 * found.parameters_before
    assert found.agreement > 0.9
    assert type(small.model) is type(network("mlp"))
    assert found.tier == "verified"
    random = next(b for b in found.baselines if b.name == "random" and not b.refitted)
    assert found.agreement > random.agreement


def test_the_proof_is_about_the_module_that_is_returned(small):
    verify = {int(i) for i in _verify_indices(small)}
    before, after = answers(network("mlp")).argmax(1), answers(small.model).argmax(1)
    same = [bool(before[i] == after[i]) for i in sorted(verify)]
    assert small.proof.examples == len(verify)
    assert small.proof.agreement == pytest.approx(np.mean(same))
    assert small.proof.disagreements == len(same) - sum(same)


def _verify_indices(found: Shrunk) -> Any:
    from netcaliper.feed.protocol import Plan
    from netcaliper.stats.sampling import VERIFY

    return np.flatnonzero(Plan(sum(len(x) for x, _ in data()), found.plan.seed).split == VERIFY)


def test_a_share_of_the_multiply_adds_of_a_cnn_in_multiples_of_four(cnn):
    model, _, found = cnn
    assert found.proof.target_met
    assert found.proof.macs_after <= 0.6 * found.proof.macs_before
    assert all(site.after % 4 == 0 or site.after == site.before for site in found.plan.sites)
    assert next(step.kind for step in found.plan.steps) == "dead"
    again = apply_plan(model, data(), found.plan)
    assert torch.equal(answers(again.model), answers(found.model))


def test_the_given_module_is_untouched(cnn):
    model, before, _ = cnn
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_a_plan_of_some_sites_applied_gives_the_same_network(cnn):
    """The dead unit is not asked for: it stays, then as now."""
    found = shrink(cnn[0], data(), parameters=0.8, sites="stages.0*")
    assert set(found.plan.removed) == {"stages.0.0.act"}
    again = apply_plan(cnn[0], data(), found.plan)
    assert torch.equal(answers(again.model), answers(found.model))


def test_an_agreement_is_shown_on_verify_examples():
    found = shrink(network("mlp"), data(), agreement=0.9)
    assert found.proof.target_met == (found.proof.agreement_low is not None and found.proof.agreement_low >= 0.9)
    assert found.proof.parameters_after < found.proof.parameters_before
    assert "0.9 was asked for" in found.proof.target_words


def test_a_latency_is_measured(monkeypatch):
    """What the clock says is made up here: half of the units, half of the time."""
    from netcaliper.shrink import shrink as module

    monkeypatch.setattr(module, "measured_latency", lambda a, b, *_: SimpleNamespace(ratio=size(b) / size(a)))
    found = shrink(network("mlp"), data(), latency=0.7)
    assert 0.3 < found.proof.parameters_after / found.proof.parameters_before <= 0.7
    assert found.plan.target.kind == "latency"
    assert "of the time" in found.plan.why


def test_without_a_target_the_knee_is_explained():
    found = shrink(network("mlp"), data())
    assert found.plan.target.kind == "knee"
    assert found.proof.target_met
    assert "the knee of the trade-off" in found.plan.why
    assert sum(point.chosen for point in found.plan.curve) == 1
    assert len(found.plan.curve) > 3


def test_a_target_that_cannot_be_met_is_said():
    found = shrink(network("mlp"), data(), parameters=0.001)
    assert not found.proof.target_met
    assert found.proof.parameters_after < 0.2 * found.proof.parameters_before
    assert "no network on the way has so few parameters" in found.plan.why


# ---- exact


def test_what_the_weights_prove_is_proved():
    model = with_slack()
    found = shrink(model, data(), agreement=0.97, skip=("absorb",))
    assert found.proof.tier == "proved"
    assert found.proof.float64_difference is not None
    assert found.proof.float64_difference < 1e-6  # what is merged is rounded to the network's float32
    assert found.proof.agreement == 1
    assert [site.after for site in found.plan.sites] == [21]
    assert {(step.kind, step.removed) for step in found.plan.steps} == {
        ("dead", (3,)),
        ("constant", (5,)),
        ("duplicate", (9,)),
    }
    again = apply_plan(model, data(), found.plan)
    assert again.proof.tier == "proved"
    assert torch.equal(answers(again.model), answers(found.model))


def test_a_plan_with_few_exact_steps_is_applied_as_it_is():
    """Only a dead unit, made of zeros: applied again it is still proved."""
    model = with_slack()
    with torch.no_grad():
        layer: Any = next(model.hidden[0].children())
        layer.weight[5], layer.weight[9] = torch.randn(2, 64)
    found = shrink(model, data(), agreement=0.97, skip=("absorb",))
    assert [step.kind for step in found.plan.steps] == ["dead"]
    again = apply_plan(model, data(), found.plan)
    assert again.proof.tier == "proved"
    assert torch.equal(answers(again.model), answers(found.model))


# ---- the same again


def test_a_plan_applied_gives_the_same_network_bit_for_bit(small, tmp_path):
    (tmp_path / "plan.json").write_bytes(plan_bytes(small.plan))
    plan = read_plan(tmp_path / "plan.json")
    again = apply_plan(network("mlp"), data(), plan)
    assert torch.equal(answers(again.model), answers(small.model))
    assert again.plan.removed == small.plan.removed
    assert again.proof.agreement == small.proof.agreement


def test_saved_and_loaded_it_is_the_same(small, tmp_path):
    folder = small.save(tmp_path / "small")
    model = load_shrunk(lambda: MLP(widths=(48,)), folder)
    assert torch.equal(answers(model), answers(small.model))
    assert json.loads((folder / "plan.json").read_text())["model_fingerprint"] == small.plan.model_fingerprint
    state = io.BytesIO()
    torch.save(small.model.state_dict(), state)
    state.seek(0)
    assert torch.load(state, weights_only=True)


# ---- verify examples


def test_the_same_seed_gives_the_same_and_verify_examples_are_read_once(monkeypatch, small):
    verify, events = set(_verify_indices(small).tolist()), list[str]()
    own_verify, own_run = Parts.verify, Graph.run

    def read(self):
        events.append("verify")
        return own_verify(self)

    def run(self, batch, **given):
        if not events:
            assert not verify & {int(i) for i in getattr(batch, "indices", ())}
        return own_run(self, batch, **given)

    monkeypatch.setattr(Parts, "verify", read)
    monkeypatch.setattr(Graph, "run", run)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = shrink(network("mlp"), data(), parameters=0.5)
    assert events == ["verify"]
    assert again.proof.verification_reads == 1
    assert plan_bytes(again.plan) == plan_bytes(small.plan)
    assert torch.equal(answers(again.model), answers(small.model))
    assert torch.equal(before, torch.get_rng_state())


def test_an_interruption_leaves_a_plan_that_can_be_run():
    kept: list[ShrinkPlan] = []

    def interrupt(phase, done, total):
        if phase == "fit" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shrink(network("mlp"), data(), keep=kept.append, progress=interrupt)
    assert kept
    found = apply_plan(network("mlp"), data(), kept[-1])
    assert found.proof.parameters_after <= found.proof.parameters_before
    assert found.plan.removed == kept[-1].removed


# ---- other tasks


def test_a_regression():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 1)).eval()
    found = shrink(model, [(x.flatten(1), y.float()[:, None]) for x, y in data()], parameters=0.6)
    assert found.proof.task == "regression"
    assert found.proof.agreement_low is None
    assert 0.5 < found.proof.agreement <= 1
    assert not found.proof.per_class


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.up, self.down, self.head = (
            nn.Embedding(9, 10),
            nn.Linear(10, 24),
            nn.Linear(24, 10),
            nn.Linear(10, 9),
        )

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.embed(input_ids)
        return self.head(x + self.down(torch.relu(self.up(x))))


def test_tokens():
    torch.manual_seed(0)
    model = Tokens().eval()
    ids = torch.randint(0, 9, (400, 7), generator=torch.Generator().manual_seed(0))
    found = shrink(model, list(ids.split(50)), parameters=0.7)
    assert found.proof.task == "tokens"
    assert found.proof.target_met
    assert found.proof.agreement > 0.8


# ---- bad input


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"agreement": 0.9, "macs": 0.5}, "At most one target"),
        ({"agreement": 1.0}, "`agreement` must be a share between 0 and 1, got 1.0"),
        ({"parameters": 0.0}, "`parameters` must be a share"),
        ({"latency": 1.5}, "`latency` must be a share"),
        ({"round_to": 0}, "`round_to` must be a whole number of at least 1, got 0"),
        ({"skip": ("absorbing",)}, "`skip` must name steps among dead"),
        ({"sites": "nothing*"}, "`sites` must match something that can be cut, got 'nothing\\*'"),
    ],
)
def test_arguments_that_cannot_be_used(given, words):
    with pytest.raises(InputError, match=words):
        shrink(network("mlp"), data(), **given)


def test_the_same_data_to_choose_and_to_prove_are_refused():
    with pytest.raises(DataError, match="`verification` must hold no example of `data`"):
        shrink(network("mlp"), data(), verification=data()[:2], parameters=0.5)


def test_too_few_examples_for_the_bound():
    with pytest.raises(DataError, match=r"`agreement` 0.999 needs 2,995 select"):
        shrink(network("mlp"), data(), agreement=0.999)


def test_sites_with_too_few_rows_are_skipped_by_name():
    """Thirty digits are fewer than the 48 units."""
    x, y = data()[0]
    found = shrink(network("mlp"), [(x[:30], y[:30])], parameters=0.5)
    assert not found.plan.removed
    assert any("too few rows" in refusal.why for refusal in found.plan.refused)
    assert not found.proof.target_met


def test_a_model_with_chance_in_it_is_refused():
    with pytest.raises(InputError, match="`model` is random in eval mode"):
        shrink(NoisyInEval().eval(), [torch.randn(50, 4) for _ in range(4)], parameters=0.5)


def test_a_plan_of_another_network_is_refused(small):
    other = MLP(widths=(48,)).eval()
    with pytest.raises(InputError, match="`plan` must be of this very network"):
        apply_plan(other, data(), small.plan)


def test_an_edited_plan_is_refused(small):
    name = next(iter(small.plan.removed))
    for removed in ({name: (1, 999)}, {"elsewhere": (1,)}):
        with pytest.raises(InputError, match="`plan` must remove units that are there"):
            apply_plan(network("mlp"), data(), small.plan.model_copy(update={"removed": removed}))
    with pytest.raises(InputError, match="`plan` must drop residual blocks"):
        apply_plan(network("mlp"), data(), small.plan.model_copy(update={"dropped": ("elsewhere",)}))


def test_a_linearized_network_is_folded_and_then_made_smaller():
    with seeded(0):
        model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 5)).eval()
        data = [torch.randn(64, 8) for _ in range(12)]
        bending = Bending(model, data[0])
        bending.set_active({name: torch.rand(len(alpha)) < 0.3 for name, alpha in bending.alphas().items()})
    folded = fold(bending).model
    found = shrink(folded, data, parameters=0.6)
    assert found.proof.target_met
    assert found.proof.parameters_after <= 0.6 * found.proof.parameters_before
    assert found.proof.agreement > 0.7
