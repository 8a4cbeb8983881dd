"""How much a network can lose without fine-tuning: ``nc.shrink`` beside the pruning packages, at equal size.

Protocol, written before any run; the thresholds are those of the issue (C2).

- Networks of ``shrink_train.py``: ResNet-20, AlexNet-like, ResNet-14 x4, a small ViT; 3 seeds; 3,000 training images
  of 16 x 16 pixels.
- Every method that reads data reads the same 1,024 images of the train part, which no network was trained on (answers
  on images seen in training agree too well), in batches of 128. Taylor, Hessian and OBDC get their labels (OBDC draws
  its own from the answers, as its paper says); ours reads none. No method trains a weight. Every network is judged on
  the whole test part (or the first ``--images``).
- **Inner channels, uniform** (parts ``half``, ``quarter``): of every dimension that one weighted call alone reads (the
  channels inside residual blocks, the fully connected layers of the AlexNet, whose convolutions stand before a
  normalization across channels, the hidden units of the ViT) the same number stays for everybody, and so do as many
  parameters, which is checked. Ours: the order of ``shrink/paths.py`` and one ``refit``. With new BatchNorm statistics
  or without is decided as ``nc.shrink`` does, on 2,048 other train images, without labels.
- **Whole network** (parts ``whole-99``, ``whole-97``): ``nc.shrink`` at 99 % and 97 % agreement, proved on the test
  part. Rivals: torch-pruning ranks all channels of the network together (``global_pruning``), and of its ratios
  we take the one that leaves most without leaving more parameters than ours has.
- Each rival also with our re-estimation of the BatchNorm statistics (" + BN"), where there is BatchNorm.
- Rivals: torch-pruning 1.6.1 with all its importances; ``torch.nn.utils.prune.ln_structured`` (masks); Neuron Merging
  (Kim et al. 2020, written here after the paper; the filters with the largest L1 norm stay); random units. Beside
  them, to tell the order from the refit: random units and those of smallest L1 norm with our refit.
- Two importances of torch-pruning 1.6.1 do not do what their papers say, and get a repaired version beside or instead:
  ``GroupHessianImportance.accumulate_grad`` keeps the last example only (its dictionary is keyed by parameters and
  asked for names); ``OBDCImportance._prepare_model`` fails on every network without attention, and its hooks on biases
  and tokens, so its Fisher diagonal is computed here.
- Differences are paired over test images: the mean over seeds for each image, then a t interval over images; the
  spread over seeds is given beside it.

The committed table was made with ``--images 3000`` and one thread; in the parts of the whole network rivals ran on seed
0 alone (``--alone`` on the others), and of ResNet-14 x4 there is seed 0 at 97 % only. CPU minutes of a seed: 3 for both
shares of ResNet-20, the AlexNet or the ViT, 11 of ResNet-14 x4.

A cell is a network, a seed and a part; its file under ``out/shrink_peers`` grows method by method, and an interrupted
run goes on where it was.

    pip install torch-pruning==1.6.1 --no-deps
    python benchmarks/shrink_peers.py [--network NAME ...] [--seed S ...] [--part PART ...]
    python benchmarks/shrink_peers.py --summary
"""

import argparse
import json
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import table
import torch
import torch_pruning as tp
import vl_convert
from scipy.stats import t
from shrink_train import EXAMPLES, SEEDS, SPECS, images
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy
from torch.nn.utils import prune

import netcaliper as nc
from netcaliper.feed.norm_statistics import batch_norms, estimate_norms
from netcaliper.feed.protocol import Plan
from netcaliper.report.figures_export import CONFIG
from netcaliper.shrink.baselines import random_units, smallest_units
from netcaliper.shrink.calls import find_calls
from netcaliper.shrink.candidate import Candidates
from netcaliper.shrink.descent import Place
from netcaliper.shrink.exact import Exact
from netcaliper.shrink.held import Held, hold
from netcaliper.shrink.judge import Judge
from netcaliper.shrink.parts import CHOSEN, FITTED
from netcaliper.shrink.paths import UnitPath, find_paths, unfit
from netcaliper.shrink.proof import parameters, runner
from netcaliper.stats.sampling import CALIBRATE, SELECT
from netcaliper.surgery.cut import cut_checked
from netcaliper.surgery.masking import masked
from netcaliper.trace.structure import Dimension
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.checkpoint import load_checkpoint

Removed = dict[str, np.ndarray]
Make = Callable[[], nn.Module]

SHARES = {"half": 0.5, "quarter": 0.25}
TARGETS = {"whole-99": 0.99, "whole-97": 0.97}
COLORS = ["#1b4f8f", "#72b7b2", "#f58518", "#bab0ac"]
POOL, BATCH = 4 * FITTED, 128
GRID, FINER = 16, 6
BN = " + BN"
OURS, PLAIN, ANEW = "ours", "ours, BatchNorm as it was", "ours, BatchNorm anew"
ABLATIONS = ("random units, our refit", "L1 units, our refit")
BOUNDS = {
    "points lost at half, at most": 1.5,
    "points lost at a quarter, at most": 6.0,
    "points at half above every rival without compensation or BN, at least": 20.0,
    "low end at half of the lead over rivals with it, above": 0.0,
}

SIMILAR, OF_COSINE = {2: 0.45, 4: 0.1}, 0.85
"""Least cosine at which filters are merged (fully connected, convolution), and the weight of the cosine beside the
bias where there is BatchNorm: as Kim et al. set them."""


# ---- what a network is made smaller on


class Subject:
    """A trained network with the images that it is calibrated and judged on.

    Args:
        folder: its checkpoint.
        data: folder of CIFAR-10.
        seed: of what is drawn at random.
        count: test images that everybody is judged on, ``None`` for all.
    """

    def __init__(self, folder: Path, data: str, seed: int, count: int | None) -> None:
        loaded = load_checkpoint(folder)
        self.model, self.seed = loaded.model, seed
        self.tried: dict[tuple[str, float], int | None] = {}
        size = loaded.arguments["size"]
        found = re.search(r"standardize='(\w+)'", str(loaded.training.get("data")))
        mode = found.group(1) if found else "channel"
        x, y = images(data, "test", None, size, mode)
        self.verify = Batches(x, y, batch_size=250)
        self.test = Batches(x[:count], y[:count], batch_size=250)
        seen = {row.tobytes() for row in next(images(data, "train", EXAMPLES, size, mode)).numpy()}
        x, y = images(data, "train", EXAMPLES + 2 * POOL, size, mode)
        new = np.flatnonzero([row.tobytes() not in seen for row in x.numpy()])
        chosen = torch.from_numpy(np.random.default_rng(0).permutation(new)[:POOL])
        self.pool = Batches(x[chosen], y[chosen], batch_size=BATCH)
        self.graph = nc.trace(self.model, x[:2])
        self.original = self.answers(self.model)

    def answers(self, model: nn.Module) -> Tensor:
        """Return the class that a network answers to every test image."""
        model = deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.inference_mode():
            return torch.cat([model(x).argmax(1) for x, _ in self.test])

    @cached_property
    def calibrate(self) -> Held:
        """The images that every method reads: those that ``nc.shrink`` holds of the pool."""
        return self._held(CALIBRATE, FITTED)

    @cached_property
    def select(self) -> Judge:
        """Compares with the original network on other images."""
        return Judge(self.graph, self._held(SELECT, CHOSEN))

    def _held(self, part: int, most: int) -> Held:
        return hold(self.graph, self.pool, Plan(POOL, 0).split == part, most, 0)

    @cached_property
    def evidence(self) -> "Evidence":
        """What importances read of the images."""
        return Evidence(self.model, self.calibrate)

    def renewed(self, module: nn.Module) -> nn.Module:
        """Return a copy with new BatchNorm statistics."""
        changed = deepcopy(module)
        estimate_norms(changed, self.calibrate.batches)
        return changed


# ---- inner channels, as many of each layer for everybody


class Uniform:
    """All methods at one share of the inner channels.

    Args:
        subject: the network.
        share: of the channels of every dimension that stay.
    """

    def __init__(self, subject: Subject, share: float) -> None:
        self.subject, self.graph = subject, subject.graph
        one = [d for d in self.graph.structure.dimensions if d.kind == "inner" and len(d.consumers) == 1]
        self.calls, uncalled = find_calls(self.graph)
        by_node = {call.node: call for call in self.calls}
        self.dimensions = [d for d in one if unfit(d, by_node, uncalled) is None and not d.frozen.any()]
        self.keep = {d.name: max(1, round(share * d.units)) for d in self.dimensions}

    @cached_property
    def paths(self) -> tuple[UnitPath, ...]:
        """The order in which units go."""
        held, by_node = self.subject.calibrate, {call.node: call for call in self.calls}
        judge = Judge(self.graph, Held(held.batches[:2], held.seed))
        found, refused = find_paths(self.graph, self.dimensions, by_node, held, judge, {})
        if refused:
            raise SystemExit(f"no path for {refused}")
        return found

    @cached_property
    def candidates(self) -> Candidates:
        """Fits what is left."""
        exact = Exact({}, dict(self.graph.program.tensors), (), ())
        return Candidates(self.graph, exact, self.calls, [], self.subject.calibrate, self.subject.select)

    def removed(self) -> Removed:
        """Return the units that go by our order; where it ends early, the smallest of the others go too."""
        found = {path.name: path.removed(path.dimension.units - self.keep[path.name]) for path in self.paths}
        wanted = smallest_units(self.graph, self.counts())
        for name, gone in found.items():
            rest = np.flatnonzero(wanted[name] & ~gone)
            gone[rest[: len(gone) - self.keep[name] - gone.sum()]] = True
        return found

    def counts(self) -> Removed:
        """Return so many units of every dimension, whichever."""
        return {d.name: np.arange(d.units) >= self.keep[d.name] for d in self.dimensions}

    def methods(self) -> dict[str, Make]:
        """Return all methods by name."""
        random = partial(random_units, self.graph.structure, self.counts(), self.subject.seed)
        smallest = partial(smallest_units, self.graph, self.counts())
        found: dict[str, Make] = {
            PLAIN: self.ours,
            ABLATIONS[0]: lambda: self.refitted(random()),
            ABLATIONS[1]: lambda: self.refitted(smallest()),
            "random units": lambda: self.cut(random()),
            "Neuron Merging": lambda: self.merged(smallest()),
            "torch ln_structured, L1": lambda: self.masks(1),
            "torch ln_structured, L2": lambda: self.masks(2),
        }
        return found | {f"torch-pruning {name}": partial(self.peer, name) for name in IMPORTANCES}

    def ours(self) -> nn.Module:
        """Return our network."""
        candidate = self.candidates.with_units(Place((), 0.0, 0, 0), self.removed(), ())
        return cut_checked(self.graph, candidate.removed, candidate.state).module

    def cut(self, removed: Removed, state: Mapping[str, Tensor] | None = None) -> nn.Module:
        """Return the network without some units, nothing fitted."""
        return cut_checked(self.graph, removed, state).module

    def refitted(self, removed: Removed) -> nn.Module:
        """Return the network without some units, fitted as ours is."""
        return self.cut(removed, self.candidates.fit(self.graph.program.tensors, removed, ()).state)

    def masks(self, norm: int) -> nn.Module:
        """Return the network with whole filters at 0, as torch masks them: as large as before, shifts stay."""
        model = deepcopy(self.subject.model)
        for dimension in self.dimensions:
            module = model.get_submodule(producer(dimension))
            prune.ln_structured(module, "weight", dimension.units - self.keep[dimension.name], n=norm, dim=0)
            prune.remove(module, "weight")
        return model

    def merged(self, removed: Removed) -> nn.Module:
        """Return the network in which the units that go are merged into the most similar ones that stay."""
        state = dict(self.graph.program.tensors)
        for dimension in self.dimensions:
            merge(state, dimension, removed[dimension.name])
        return self.cut(removed, masked(state, self.graph.structure, removed))

    def peer(self, name: str) -> nn.Module:
        """Return what torch-pruning leaves with an importance."""
        model, importance = self.subject.evidence.ready(name)
        ratios = {model.get_submodule(producer(d)): 1 - (self.keep[d.name] + 1e-4) / d.units for d in self.dimensions}
        pruned(model, importance, self.subject, ratios=ratios)
        return model


def producer(dimension: Dimension) -> str:
    """Return the path of the module that makes the units."""
    (name,) = [holder.names[0] for holder in dimension.holders if holder.role == "row"]
    return name.removesuffix(".weight")


def merge(state: dict[str, Tensor], dimension: Dimension, gone: np.ndarray) -> None:
    """Merge units into others, after Kim et al. (2020): the reader's columns of those that go are added, scaled.

    A filter ``w_n = s w_m`` gives, behind its BatchNorm, ``a`` times what ``w_m`` gives and a constant, with
    ``a = s (gamma_n / sigma_n) (sigma_m / gamma_m)``; ReLU keeps that for ``a > 0``. Chosen is the m of smallest
    ``.85 (1 - cosine) + .15`` (the constant, over its range).
    """
    path = producer(dimension)
    weight = state[f"{path}.weight"].double()
    stay, go = (torch.from_numpy(np.flatnonzero(part)) for part in (~gone, gone))
    norm = next((h.names[0].rpartition(".")[0] for h in dimension.holders if h.names[0].endswith("running_var")), None)
    bias = state.get(f"{path}.bias")
    shift = torch.zeros(len(weight)).double() if bias is None else bias.double()
    if norm is None:
        scale = torch.ones_like(shift)
    else:
        own = {part: state[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")}
        scale = own["weight"] / (own["running_var"] + 1e-5).sqrt()
        shift = own["bias"] + scale * (shift - own["running_mean"])
    flat = weight.flatten(1)
    if norm is None and bias is not None:
        flat = torch.cat([flat, shift[:, None]], 1)
    (reader,) = [h.names[0] for h in dimension.holders if h.role == "column"]
    columns = state[reader].clone()
    for n in go.tolist():
        cosine = cosine_similarity(flat[n], flat[stay], dim=1)
        factor = flat[n].norm() / flat[stay].norm(dim=1) * scale[n] / scale[stay]
        score = 1 - cosine
        if norm is not None:
            constant = (shift[n] - factor * shift[stay]).abs()
            spread = (constant.max() - constant.min()).clamp(min=1e-12)
            score = OF_COSINE * score + (1 - OF_COSINE) * (constant - constant.min()) / spread
        best = int(torch.where(factor > 0, score, torch.inf).argmin())
        if factor[best] > 0 and cosine[best] >= SIMILAR[weight.ndim]:
            columns[:, stay[best]] += factor[best].to(columns) * columns[:, n]
    state[reader] = columns


# ---- torch-pruning

_OF = tp.importance
IMPORTANCES: dict[str, Callable[[], Any]] = {
    "Random": _OF.RandomImportance,
    "L1 of filters": lambda: _OF.MagnitudeImportance(
        p=1,
        normalizer=None,  # pyright: ignore[reportArgumentType]
        group_reduction="first",
    ),
    "L1 of groups": lambda: _OF.MagnitudeImportance(p=1),
    "L2 of groups": lambda: _OF.MagnitudeImportance(p=2),
    "BNScale": _OF.BNScaleImportance,
    "LAMP": _OF.LAMPImportance,
    "FPGM": _OF.FPGMImportance,
    "Activation": _OF.ActivationImportance,
    "Taylor": _OF.GroupTaylorImportance,
    "Hessian": _OF.GroupHessianImportance,
    "Hessian, repaired": _OF.GroupHessianImportance,
    "OBDC, repaired": lambda: _OF.OBDCImportance(num_classes=10),
}


class Evidence:
    """What the importances of torch-pruning read of data, by module or parameter name, taken once.

    Args:
        model: the network.
        held: the images, with labels.
    """

    def __init__(self, model: nn.Module, held: Held) -> None:
        self.model = model
        self.x = torch.cat([batch.args[0] for batch in held.batches])
        self.y = torch.cat([batch.labels for batch in held.batches])

    def ready(self, name: str) -> tuple[nn.Module, Any]:
        """Return a copy of the network and an importance that finds on it what it needs."""
        model, importance = deepcopy(self.model), IMPORTANCES[name]()
        if isinstance(positions := getattr(model, "positions", None), nn.Embedding):
            model.positions = nn.ParameterDict({"weight": positions.weight})  # an embedding that is added it overlooks
        gradients = {"Taylor": 0, "Hessian": 1, "Hessian, repaired": 2}
        if name in gradients:
            for key, parameter in model.named_parameters():
                parameter.grad = self._gradients[gradients[name]][key].clone()
        if name == "Activation":
            for key, value in self._activations.items():
                model.get_submodule(key)._importance = value
        if name == "OBDC, repaired":
            layers = {key: m for key, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
            importance.Fisher = {m: self._gradients[3][f"{key}.weight"].flatten(1) for key, m in layers.items()}
            importance.modules, importance.steps = list(importance.Fisher), 1
            for parameter in model.parameters():
                parameter.grad = torch.zeros_like(parameter)  # it asks whether there is one
        return model, importance

    @cached_property
    def _gradients(self) -> tuple[dict[str, Tensor], ...]:
        """By parameter: gradient of the loss, squares of the last example's, their mean, and that with drawn labels."""
        model = deepcopy(self.model)
        named = dict(model.named_parameters())
        total, squares, fisher = ({key: torch.zeros_like(value) for key, value in named.items()} for _ in range(3))
        last: dict[str, Tensor] = {}
        generator = torch.Generator().manual_seed(0)
        for x, y in zip(self.x.split(1), self.y.split(1), strict=True):
            scores = model(x)
            drawn = torch.multinomial(scores.detach().softmax(1), 1, generator=generator)[:, 0]
            each = torch.autograd.grad(cross_entropy(scores, y), list(named.values()), retain_graph=True)
            other = torch.autograd.grad(cross_entropy(scores, drawn), list(named.values()))
            last = dict(zip(named, each, strict=True))
            for key, own in zip(named, other, strict=True):
                total[key] += last[key] / len(self.x)
                squares[key] += last[key] ** 2 / len(self.x)
                fisher[key] += own**2 / len(self.x)
        return total, {key: value**2 for key, value in last.items()}, squares, fisher

    @cached_property
    def _activations(self) -> dict[str, Any]:
        model, importance = deepcopy(self.model), _OF.ActivationImportance()
        with importance.compute_importance(model), torch.no_grad():
            model(self.x)
        return {key: m._importance for key, m in model.named_modules() if hasattr(m, "_importance")}


def pruned(
    model: nn.Module,
    importance: Any,
    subject: Subject,
    *,
    ratios: Mapping[nn.Module, float] | None = None,
    ratio: float = 0.0,
) -> None:
    """Let torch-pruning take channels out of a network, in place: by a ratio for each module, or of all together."""
    heads: dict[Any, Any] = {m: child.heads for child in model.modules() if hasattr(child, "heads")
             for m in (child.query, child.key, child.value)}  # fmt: skip
    each: dict[Any, float] = dict(ratios or {})
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(subject.seed)
        pruner = tp.pruner.BasePruner(
            model,
            subject.calibrate.batches[0].args[0][:2],
            importance,
            global_pruning=ratios is None,
            pruning_ratio=ratio,
            pruning_ratio_dict=each,
            ignored_layers=[model.get_submodule("head")],
            in_channel_groups={},  # its defaults are shared between all pruners
            out_channel_groups={},
            num_heads=heads,
        )
        pruner.step()
    for parameter in model.parameters():
        parameter.grad = None


def runs(model: nn.Module, subject: Subject) -> bool:
    """Return whether a network still takes images (fewer channels than a normalization reads at once do not)."""
    try:
        with torch.no_grad():
            model(subject.calibrate.batches[0].args[0][:2])
    except RuntimeError:
        return False
    return True


# ---- the whole network


class Whole:
    """Ours at an agreement, and everybody at its size.

    Args:
        subject: the network.
        agreement: that is asked for.
        alone: whether rivals are left out.
    """

    def __init__(self, subject: Subject, agreement: float, *, alone: bool) -> None:
        self.subject, self.agreement, self.alone, self.planned = subject, agreement, alone, 0.0

    @cached_property
    def shrunk(self) -> Any:
        """Ours, with plan and proof."""
        began = time.process_time()

        def tell(phase: str, done: int, total: int) -> None:
            if phase == "verify" and not done:
                self.planned = time.process_time() - began

        subject = self.subject
        return nc.shrink(
            subject.model, subject.pool, agreement=self.agreement, verification=subject.verify, seed=0, progress=tell
        )

    def methods(self) -> dict[str, Make]:
        """Return all methods by name."""
        ours: dict[str, Make] = {OURS: lambda: self.shrunk.model}
        if self.alone:
            return ours
        return ours | {f"torch-pruning {name}": partial(self.peer, name) for name in IMPORTANCES}

    def peer(self, name: str) -> nn.Module:
        """Return the largest network that is not larger than ours: of a grid of ratios, then of finer steps.

        Sizes are not monotone in the ratio: layers of which everything would go are spared.
        """
        limit = parameters(self.shrunk.model)
        tried = self.subject.tried

        def small(ratio: float) -> bool:
            if (name, ratio) not in tried:
                model = self.globally(name, ratio)
                tried[name, ratio] = parameters(model) if runs(model, self.subject) else None
            size = tried[name, ratio]
            return size is not None and size <= limit

        found = [ratio for ratio in np.linspace(0, 1, GRID + 1)[1:-1].tolist() if small(ratio)]
        if not found:
            raise ValueError("no ratio makes it as small as ours")
        high = max(found, key=lambda ratio: tried[name, ratio] or 0)
        low, found = high - 1 / GRID, [high]
        for _ in range(FINER):
            middle = (low + high) / 2
            low, high = (low, middle) if small(middle) else (middle, high)
            found += [middle] if small(middle) else []
        return self.globally(name, max(found, key=lambda ratio: tried[name, ratio] or 0))

    def globally(self, name: str, ratio: float) -> nn.Module:
        """Return what torch-pruning leaves of all channels ranked together."""
        model, importance = self.subject.evidence.ready(name)
        pruned(model, importance, self.subject, ratio=ratio)
        return model

    def facts(self) -> dict[str, Any]:
        """Return what the proof says."""
        proof, plan = self.shrunk.proof, self.shrunk.plan
        return {
            "test images": proof.examples,
            "threads": torch.get_num_threads(),
            "agreement": proof.agreement,
            "agreement, low": proof.agreement_low,
            "met": proof.target_met,
            "CPU seconds until the plan was frozen": round(self.planned, 1),
            "parameters": proof.parameters_after / proof.parameters_before,
            "multiply-adds": proof.macs_after / proof.macs_before,
            "latency": None if proof.latency is None else [proof.latency.ratio, proof.latency.low, proof.latency.high],
            "curve": [
                [p.parameters / proof.parameters_before, p.agreement, p.agreement_low, p.chosen] for p in plan.curve
            ],
            "refused": [f"{refusal.what}: {refusal.why}" for refusal in plan.refused],
        }


# ---- cells


def cell(subject: Subject, part: str, file: Path, *, alone: bool) -> None:
    """Make what is missing of a cell."""
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"methods": {}}
    if kept.get("done"):
        return
    uniform = part in SHARES
    work = Uniform(subject, SHARES[part]) if uniform else Whole(subject, TARGETS[part], alone=alone)
    truth = torch.cat([y for _, y in subject.test])
    kept |= {"whole": parameters(subject.model), "images": len(truth), "original": packed(subject.original == truth)}

    def note(name: str, module: nn.Module, taken: float) -> None:
        answers = subject.answers(module)
        kept["methods"][name] = {
            "parameters": parameters(module),
            "right": packed(answers == truth),
            "agrees": packed(answers == subject.original),
            "accuracy": round(float((answers == truth).float().mean()), 4),
            "CPU seconds": round(taken, 1),
        }
        save(kept, file)
        right = kept["methods"][name]["accuracy"]
        print(f"{time.strftime('%H:%M:%S')} {file.stem}: {name}: {right:.4f}", file=sys.stderr, flush=True)

    for name, make in work.methods().items():
        if name in kept["methods"]:
            continue
        began = time.process_time()
        try:
            module = make()
        except Exception as problem:  # a rival that cannot do this network is left out by name
            if name in (OURS, PLAIN):
                raise
            kept["methods"][name] = {"left out": f"{type(problem).__name__}: {str(problem).splitlines()[0]}"[:200]}
            continue
        if parameters(module) == parameters(subject.model) and not name.startswith("torch ln_"):
            kept["methods"][name] = {"left out": "it removes nothing here"}
            continue
        made = time.process_time() - began
        renewed = subject.renewed(module) if batch_norms(module) and name != OURS else None
        if name == PLAIN:
            lost = [subject.select.judge(runner(m, subject.graph)).divergence for m in (module, renewed) if m]
            kept["chosen"] = ANEW if len(lost) > 1 and lost[1] < lost[0] else PLAIN
        note(name, module, made)
        if renewed is not None:
            note(ANEW if name == PLAIN else name + BN, renewed, made)
    if isinstance(work, Whole):
        kept["facts"] = work.facts()
    else:
        sizes = {m["parameters"] for n, m in kept["methods"].items() if "parameters" in m and "ln_" not in n}
        if len(sizes) != 1:
            raise SystemExit(f"{file.stem}: not all have as many parameters: {sizes}")
    save(kept | {"done": True}, file)


def save(kept: Mapping[str, Any], file: Path) -> None:
    """Write a cell, all or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".partial")
    aside.write_text(json.dumps(kept), encoding="utf-8")
    aside.rename(file)


def packed(bits: Tensor) -> str:
    """Return booleans as hexadecimal digits."""
    return np.packbits(bits.numpy()).tobytes().hex()


def bits(text: str, count: int) -> np.ndarray:
    """Return booleans from hexadecimal digits."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8))[:count].astype(float)


# ---- the summary


def rows(cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sum up the cells of one network and part over its seeds: points of accuracy, and what ours has more."""
    count = min(c["images"] for c in cells)
    ours = [unchanged(c) if "left out" in (own := c["methods"][c.get("chosen", OURS)]) else own for c in cells]
    rights, wholes = [bits(one["right"], count) for one in ours], [c["whole"] for c in cells]
    found: dict[str, dict[str, Any]] = {}
    names = list(dict.fromkeys(name for c in cells for name in c["methods"]))
    listed = {"original": [unchanged(c) for c in cells], OURS: ours}
    others = [name for name in names if name != OURS]
    listed |= {name: [c["methods"].get(name) for c in cells] for name in others}
    for name, of_seeds in listed.items():
        ran = [number for number, one in enumerate(of_seeds) if one is not None]
        each, mine = [of_seeds[n] for n in ran], [ours[n] for n in ran]
        best, of_whole = [rights[n] for n in ran], [wholes[n] for n in ran]
        if any("left out" in one for one in each):
            found[name] = {"left out": next(one["left out"] for one in each if "left out" in one)}
            continue
        right = [bits(one["right"], count) for one in each]
        gaps = [100 * (own - theirs) for own, theirs in zip(best, right, strict=True)]
        gap = np.mean(gaps, 0)
        sizes = [one["parameters"] / whole for one, whole in zip(each, of_whole, strict=True)]
        found[name] = {
            "seeds": len(ran),
            "parameters": round(float(np.mean(sizes)), 4),
            "accuracy": round(100 * float(np.mean(right)), 2),
            "by seed": [round(100 * float(r.mean()), 2) for r in right],
            "ours more": interval(gap),
            "ours more, by seed": [round(float(g.mean()), 2) for g in gaps],
        }
        if name != "original":
            agree = [bits(one["agrees"], count) for one in each]
            found[name]["agreement"] = round(100 * float(np.mean(agree)), 2)
            gap = np.mean([bits(o["agrees"], count) - a for o, a in zip(mine, agree, strict=True)], 0)
            found[name]["ours agrees more"] = interval(100 * gap)
    return found


def unchanged(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the original network as if a method had made it: nothing can go at what was asked for."""
    right = kept["original"]
    return {"right": right, "agrees": packed(torch.ones(kept["images"]).bool()), "parameters": kept["whole"]}


def interval(gap: np.ndarray) -> list[float]:
    """Return the mean over images and its 95 % t interval."""
    half = float(t.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / len(gap) ** 0.5)
    return [round(float(value), 2) for value in (gap.mean(), gap.mean() - half, gap.mean() + half)]


def verdicts(half: Mapping[str, Any], quarter: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Hold the rows of a network against the four thresholds."""
    rivals = {
        name: row["ours more"]
        for name, row in half.items()
        if "ours more" in row and not name.startswith((OURS, *ABLATIONS, "original"))
    }
    with_it = {name: gap for name, gap in rivals.items() if name.endswith(BN) or name == "Neuron Merging"}
    without = {name: gap for name, gap in rivals.items() if name not in with_it}
    nearest = min(without, key=lambda name: without[name][0])
    strongest = min(with_it, key=lambda name: with_it[name][1])
    lost = [-round_["original"]["ours more"][0] for round_ in (half, quarter)]
    values = (lost[0], lost[1], without[nearest][0], with_it[strongest][1])
    against = ("the original", "the original", nearest, strongest)
    return [
        {"threshold": words, "bound": bound, "measured": value, "against": other,
         "holds": value <= bound if words.endswith("at most") else value > bound or (number == 2 and value >= bound)}
        for number, ((words, bound), value, other) in enumerate(zip(BOUNDS.items(), values, against, strict=True))
    ]  # fmt: skip


def markdown(title: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return rows as a table for the documentation."""
    head = "| method | parameters | accuracy | ours more (95 %) | agreement | ours agrees more |"
    lines = [f"### {title}", "", head, "|---|---|---|---|---|---|"]
    for name, row in found.items():
        if "left out" in row:
            lines.append(f"| {name} | | | left out: {row['left out']} | | |")
            continue
        other = name not in (OURS, "original")
        more, agrees = (
            "{:+.1f} [{:+.1f}, {:+.1f}]".format(*row[key]) if key in row and (other or key == "ours more") else ""
            for key in ("ours more", "ours agrees more")
        )
        agreement = f"{row['agreement']:.1f}" if "agreement" in row else ""
        size, right = f"{100 * row['parameters']:.1f} %", f"{row['accuracy']:.1f}"
        lines.append(f"| {name} | {size} | {right} | {'' if name == OURS else more} | {agreement} | {agrees} |")
    return "\n".join(lines) + "\n"


def summary(out: Path) -> None:
    """Write ``results/shrink_peers.json`` from the cells that are there, and print the tables."""
    found: dict[str, Any] = {}
    tables: list[str] = []
    for network in SPECS:
        parts: dict[str, Any] = {}
        for part in (*SHARES, *TARGETS):
            files = [out / f"{network}-{seed}-{part}.json" for seed in SEEDS]
            cells = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
            cells = [c for c in cells if c.get("done")]
            if not cells:
                continue
            parts[part] = {"seeds": len(cells), "test images": cells[0]["images"], "methods": rows(cells)}
            if part in TARGETS:
                parts[part]["ours"] = [c["facts"] for c in cells]
            else:
                parts[part]["BatchNorm statistics of ours"] = [c["chosen"] for c in cells]
            tables.append(markdown(f"{network}, {part}", parts[part]["methods"]))
            tables += [f"{one['parameters']:.3f} of the parameters, {one['multiply-adds']:.3f} of the multiply-adds, "
                       f"agreement {one['agreement']:.4f} (low {one['agreement, low']:.4f}, met: {one['met']}), time "
                       f"{one['latency']}\n" for one in parts[part].get("ours", ())]  # fmt: skip
        if all(part in parts for part in SHARES):
            parts["verdicts"] = verdicts(*(parts[part]["methods"] for part in SHARES))
        if parts:
            found[network] = parts
    facts = {
        "peers": {"torch-pruning": version("torch-pruning")},
        "training images": EXAMPLES,
        "calibration images": FITTED,
        "bounds": BOUNDS,
    }
    table.write(__file__, facts | {"networks": found})
    draw(found, table.ROOT / "results" / "shrink_peers.svg")
    print("\n".join(tables))


SORTS = ("ours", "other units, our refit", "BatchNorm anew, or merged", "other removal")
"""Sorts of methods in the picture."""


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draw accuracy over the inner channels that stay, and agreement over the parameters that are left."""
    lines, points = [], []
    for network, parts in found.items():
        for share, part in ((1.0, "half"), (0.5, "half"), (0.25, "quarter")):
            rows_of_part = parts.get(part, {}).get("methods", {})
            for name, row in rows_of_part.items():
                if "left out" in row or name.startswith("ours,") or name == "original":
                    continue
                shown = rows_of_part["original"] if share == 1 else row
                lines.append(
                    {"network": network, "method": name, "sort": sort_of(name), "stay": share, "y": shown["accuracy"]}
                )
        for part in TARGETS:
            kept = parts.get(part, {})
            for one in kept.get("ours", ()):
                here = {"network": network, "sort": SORTS[0]}
                points += [here | {"x": p[0], "y": p[1]} for p in one["curve"] if p[0] > 0.5]
            for name, row in kept.get("methods", {}).items():
                if "left out" not in row and name not in (OURS, "original"):
                    here = {"network": network, "sort": sort_of(name), "method": name}
                    points.append(here | {"x": row["parameters"], "y": row["agreement"] / 100})
    for drawn in (lines, points):
        drawn.sort(key=lambda one: -SORTS.index(one["sort"]))  # ours last, on top
    legend = alt.Legend(title=None, orient="bottom", direction="horizontal", columns=2, columnPadding=30, labelLimit=0)
    color = alt.Color("sort:N", legend=legend, sort=list(SORTS), scale=alt.Scale(domain=list(SORTS), range=COLORS))
    column = alt.Column("network:N", title=None, sort=list(SPECS))
    stay = alt.X("stay:Q", title="inner channels that stay", axis=alt.Axis(values=[0.25, 0.5, 1], format="%"))
    accuracy = alt.Y("y:Q", title="test accuracy, %").scale(zero=False)
    upper = alt.Chart(alt.Data(values=lines)).mark_line(point=True, opacity=0.8).encode(
        x=stay.scale(reverse=True), y=accuracy, color=color, detail="method:N"
    )  # fmt: skip
    left = alt.X("x:Q", title="parameters left", axis=alt.Axis(format="%", tickCount=4)).scale(reverse=True, zero=False)
    agreement = alt.Y("y:Q", title="agreement with the original").scale(domain=[0.6, 1], clamp=True)
    lower = alt.Chart(alt.Data(values=points)).mark_point(filled=True, opacity=0.8).encode(
        x=left, y=agreement, color=color
    )  # fmt: skip
    size = {"width": 170, "height": 150}
    chart = alt.vconcat(*(part.properties(**size).facet(column=column) for part in (upper, lower)))
    path.write_text(vl_convert.vegalite_to_svg(chart.to_json(), config=CONFIG), encoding="utf-8")


def sort_of(name: str) -> str:
    """Return the sort of a method."""
    if name == OURS:
        return SORTS[0]
    if name.removesuffix(BN) in ABLATIONS:
        return SORTS[1]
    return SORTS[2] if name.endswith(BN) or name == "Neuron Merging" else SORTS[3]


def main() -> None:
    """Make the cells that are asked for, or sum up."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", default="../shared/data/cifar10", help="folder of train.parquet and test.parquet")
    arguments.add_argument("--checkpoints", type=Path, default=Path("out/shrink_networks"))
    arguments.add_argument("--out", type=Path, default=Path("out/shrink_peers"))
    arguments.add_argument("--network", nargs="*", default=list(SPECS), choices=list(SPECS))
    arguments.add_argument("--seed", nargs="*", type=int, default=list(SEEDS))
    arguments.add_argument("--part", nargs="*", default=[*SHARES, *TARGETS], choices=[*SHARES, *TARGETS])
    arguments.add_argument("--images", type=int, help="so many test images for everybody; all by default")
    arguments.add_argument("--alone", action="store_true", help="no rivals in the parts of the whole network")
    arguments.add_argument("--summary", action="store_true", help="only sum up")
    given = arguments.parse_args()
    for seed in given.seed if not given.summary else ():
        for network in given.network:
            folder = given.checkpoints / f"{network}-{seed}"
            files = {part: given.out / f"{network}-{seed}-{part}.json" for part in given.part}
            missing = [p for p, f in files.items() if not f.exists() or '"done": true' not in f.read_text("utf-8")]
            if not missing or not folder.exists():
                continue
            subject = Subject(folder, given.data, seed, given.images)
            for part in missing:
                cell(subject, part, files[part], alone=given.alone)
    if given.summary:
        summary(given.out)


if __name__ == "__main__":
    main()
