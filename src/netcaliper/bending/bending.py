"""``nc.Bending``: a copy of a network whose units can become linear, one by one, while it trains."""

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from netcaliper.bending.calibration import fit_targets
from netcaliper.bending.calls import Framed, Reading
from netcaliper.bending.example import guess_example
from netcaliper.bending.penalty import root_penalty
from netcaliper.bending.plan import Plan, make_plan
from netcaliper.bending.slot import PREFIX, Slot
from netcaliper.bending.snapping import snap
from netcaliper.errors import InputError
from netcaliper.trace.batches import as_batch
from netcaliper.trace.form import form_of
from netcaliper.trace.graph import Graph
from netcaliper.trace.trace import trace

Granularity = Literal["channel", "layer"]


class Bending:
    """A deep copy of a network in which every activation call is ``f(x) = alpha (a x + c) + (1 - alpha) phi(x)``.

    ``alpha`` is one number a unit (``granularity="channel"``) or one a call (``"layer"``). It starts at 0, where the
    copy computes what the model computes, bit for bit; at 1 the unit is linear. For ReLU and everything that is not
    bounded ``a = 1, c = 0``, which is the PReLU of Mehmeti-Göpel and Disselhoff (2023) in its convex form; a bounded
    function (tanh, sigmoid) goes to its least-squares line ``a x + c`` over the data; the gate of a gated product goes
    to its mean (``a = 0``), since a product with a linear gate would still be no linear function.

    In a training loop::

        bend = nc.Bending(model)
        optimizer = torch.optim.SGD(bend.parameter_groups(weight_decay=5e-4), lr=0.1, momentum=0.9)
        for x, y in loader:
            loss = F.cross_entropy(bend.model(x), y) + bend.penalty()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bend.snap(optimizer)

    The model itself is left as it is. The alphas are float32 parameters of the module that makes the call
    (``layer1.0.relu.bend_alpha``, the second call ``bend_alpha_2``), so that state dicts, copies and pickles of
    ``.model`` hold them.

    Attributes:
        model: the copy, of the same class.
        graph: the traced network; the names and units of its sites are those of this class.
        omega: weight of the penalty; may be changed at any time.
        alpha_rate: factor on the learning rate of the alphas.
        granularity: ``"channel"`` or ``"layer"``.
        proximal: whether the penalty is a proximal step in ``snap`` rather than a term of the loss.
        sites: names of the sites that bend.
        skipped: name and reason of every site or call that stays as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Any = None,
        *,
        omega: float = 1e-3,
        granularity: Granularity = "channel",
        proximal: bool = False,
        alpha_rate: float = 1.0,
    ) -> None:
        """Read ``model`` and copy it.

        Args:
            model: any module that ``nc.trace`` reads.
            example: a batch as a loader yields it; made up where the model or its first layer tells what it takes. The
                lines of bounded functions and the means of gates are fitted on it; not on one that was made up.
            omega: weight of the penalty, at least 0. With SGD of rate lr and momentum m an alpha without a gradient of
                its own reaches 1 after about ``1.3 (1 - m) / (omega lr)`` steps, lr being that of the alphas.
            granularity: one alpha a unit or one a call.
            proximal: apply the penalty exactly, by half-thresholding in ``snap(optimizer)``.
            alpha_rate: factor on the learning rate of the alphas. Short trainings need one above 1 (10): with the rate
                of the weights only an omega that no unit resists brings any alpha to 1 in time.

        Raises:
            InputError: the model cannot be copied, is compiled, scripted, wrapped or bent already, has no activation,
                or none that can be replaced; or ``omega``, ``granularity`` or ``alpha_rate`` cannot be used.
            TraceError: the model cannot be traced.
        """
        if not omega >= 0.0 or omega == float("inf"):
            raise InputError(f"`omega` must be a finite number, at least 0, got {omega!r}; start with 1e-3")
        if granularity not in ("channel", "layer"):
            raise InputError(f"`granularity` must be 'channel' or 'layer', got {granularity!r}")
        if not 0.0 < alpha_rate < float("inf"):
            raise InputError(
                f"`alpha_rate` must be a positive number, got {alpha_rate!r}; 1 is the rate of the weights"
            )
        _check_model(model)
        self.omega, self.granularity, self.proximal = float(omega), granularity, proximal
        self.alpha_rate = float(alpha_rate)
        scratch = _copied(model).eval()
        given = example is not None
        example = example if given else guess_example(scratch)
        self.graph: Graph = trace(_copied(model).eval() if _trains(model) else model, example)
        plan = make_plan(scratch, self.graph)
        self.skipped = tuple(plan.skipped)
        if not plan.planned:
            raise InputError(_nothing(model, plan))
        self.model: Any = _copied(model)  # any class's attributes are there, which a type checker cannot know
        self._slots = _install(self.model, plan, granularity, self.graph.device)
        self.sites = tuple(slot.site for slot in self._slots)
        self._calibrated = all(slot.target == "identity" for slot in self._slots)
        if given and not self._calibrated:
            self.calibrate([as_batch(example, form=form_of(model))])

    def calibrate(self, data: Any) -> None:
        """Fit the lines of bounded functions and the mean gates on batches; only before any unit has moved.

        Args:
            data: batches, as a loader yields them; read once.

        Raises:
            InputError: an alpha is not 0 any more.
            DataError: the data cannot be used.
        """
        moved = [slot.site for slot in self._slots if bool((slot.effective != 0).any())]
        if moved:
            raise InputError(
                f"`calibrate` must come before training: alphas of {len(moved)} sites are not 0 any more (first: "
                f"`{moved[0]}`); calibrate a new Bending"
            )
        fit_targets(self.graph.with_state(self.weights()), [s for s in self._slots if s.target != "identity"], data)
        self._calibrated = True

    def penalty(self) -> Float[Tensor, ""]:
        """Return ``omega sum (|1 - alpha| + 1e-4)^(1/2)`` over the alphas that are not frozen, to add to the loss.

        The sum is over units (over calls for ``granularity="layer"``), not a mean. Its slope is at most 50 omega. With
        ``proximal=True`` it has no gradient: ``snap`` applies it.

        Raises:
            InputError: bounded functions or gates bend, and were not calibrated.
        """
        self._check_ready()
        total = root_penalty([s.alpha for s in self._slots], [s.frozen for s in self._slots], self.omega)
        return total.detach() if self.proximal else total

    def snap(self, optimizer: Any = None) -> int:
        """Call after every ``optimizer.step()``: alphas above 0.99 become exactly 1 and are frozen.

        One that hopped over 1 is among them. Frozen alphas are put back to 1, and what the optimizer remembers of them
        (momentum, moments) is cleared; the forward uses 1 for them in any case. With ``proximal=True`` every other
        alpha first makes the step that minimizes ``(1 - alpha - z)^2 + 2 lr omega |1 - alpha|^(1/2)``, with lr that of
        its group.

        Returns:
            How many alphas were newly frozen.

        Raises:
            InputError: the optimizer decays the alphas or does not hold them; ``proximal`` without an optimizer;
                bounded functions or gates bend, and were not calibrated.
        """
        self._check_ready()
        if self.proximal and optimizer is None:
            raise InputError("`optimizer` is needed for proximal=True, got None: the step has its learning rate")
        return snap(self._slots, optimizer, omega=self.omega if self.proximal else None)

    def active(self) -> dict[str, Bool[Tensor, " units"]]:
        """Return for every site which units still bend (their alpha is not exactly 1)."""
        return {site: alpha != 1.0 for site, alpha in self.alphas().items()}

    def alphas(self) -> dict[str, Float[Tensor, " units"]]:
        """Return a copy of the alphas of every site, one a unit also for ``granularity="layer"``."""
        return {slot.site: slot.effective.detach().expand(slot.units).clone() for slot in self._slots}

    def targets(self) -> dict[str, tuple[Float[Tensor, " units"], Float[Tensor, " units"]]]:
        """Return a and c of every site's target ``a x + c``; of a gate a = 0 and c its mean."""
        found = {}
        for slot in self._slots:
            a, c = slot.affine
            found[slot.site] = (a.detach().clone(), c.detach().clone())
        return found

    def set_active(self, active: Mapping[str, Bool[Tensor, " units"]]) -> None:
        """Choose the units that bend: alpha is 0 and free where True, exactly 1 and frozen where False.

        Args:
            active: by site; sites that are not named stay as they are.

        Raises:
            InputError: an unknown site, a vector of another length, or one that differs within a layer that has one
                alpha.
        """
        slots = {slot.site: slot for slot in self._slots}
        chosen: list[tuple[Slot, Tensor]] = []
        for site, wanted in active.items():
            if site not in slots:
                raise InputError(f"`active` names {site!r}, which is none of the {len(slots)} sites that bend")
            slot = slots[site]
            bends = torch.as_tensor(wanted, dtype=torch.bool, device=slot.alpha.device)
            if bends.shape != (slot.units,):
                raise InputError(f"`active` of `{site}` must have {slot.units} entries, got shape {tuple(bends.shape)}")
            if len(slot.alpha) == 1 and bool((bends != bends[0]).any()):
                raise InputError(f"`active` of `{site}` must be all True or all False, since the layer has one alpha")
            chosen.append((slot, bends[: len(slot.alpha)]))
        with torch.no_grad():
            for slot, bends in chosen:
                slot.frozen.copy_(~bends)
                slot.alpha.copy_((~bends).to(slot.alpha.dtype))

    def freeze(self) -> None:
        """Stop the training of all alphas; those that still bend keep their value."""
        for slot in self._slots:
            slot.alpha.requires_grad_(False)
            slot.alpha.grad = None

    def parameter_groups(
        self, weight_decay: float = 0.0, *, learning_rate: float | None = None
    ) -> list[dict[str, Any]]:
        """Return the groups for an optimizer: the weights, and the alphas, which must not decay.

        Args:
            weight_decay: of the weights.
            learning_rate: of the weights; that of the alphas is ``alpha_rate`` times as large. ``None`` leaves both to
                the optimizer, or to a training loop that multiplies by the ``"rate_factor"`` of a group, as
                ``netcaliper.fit`` does.
        """
        alphas = [slot.alpha for slot in self._slots]
        own = {id(alpha) for alpha in alphas}
        weights = [p for p in self.model.parameters() if id(p) not in own]
        groups = [
            {"params": weights, "weight_decay": weight_decay, "rate_factor": 1.0},
            {"params": alphas, "weight_decay": 0.0, "rate_factor": self.alpha_rate},
        ]
        if learning_rate is not None:
            groups = [group | {"lr": learning_rate * group["rate_factor"]} for group in groups]
        return groups

    def weights(self) -> dict[str, Tensor]:
        """Return the state dict of ``model`` without what bending added: for ``graph.with_state`` and for folding."""
        return {n: v for n, v in self.model.state_dict().items() if not n.rpartition(".")[2].startswith(PREFIX)}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state dict of ``model``, alphas included."""
        return self.model.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict of a bent model of the same architecture.

        Raises:
            InputError: the alphas are those of another architecture or granularity; the message names the first site
                that differs.
        """
        own = self.model.state_dict()
        for name, value in own.items():
            if PREFIX in name.rpartition(".")[2]:
                self._check_entry(name, value, state.get(name))
        unknown = [name for name in state if PREFIX in name.rpartition(".")[2] and name not in own]
        if unknown:
            raise InputError(
                f"`state` holds `{unknown[0]}`, but no call there bends in {type(self.model).__name__}; load it into a "
                "Bending of the architecture that it is of"
            )
        try:
            self.model.load_state_dict(state, strict=True)
        except RuntimeError as failure:
            words = "; ".join(line.strip() for line in str(failure).splitlines()[1:3])
            raise InputError(f"`state` does not fit {type(self.model).__name__}: {words}") from failure
        self._calibrated = True

    def _check_entry(self, name: str, own: Tensor, given: Tensor | None) -> None:
        if given is None or given.shape != own.shape:
            got = "none" if given is None else f"shape {tuple(given.shape)}"
            raise InputError(
                f"`state` must hold `{name}` of shape {tuple(own.shape)}, got {got}; load it into a Bending of the "
                "architecture (and granularity) that it is of"
            )

    def _check_ready(self) -> None:
        if not self._calibrated:
            fitted = next(slot.site for slot in self._slots if slot.target != "identity")
            raise InputError(
                f"`{fitted}` becomes linear by data (a bounded function or a gate), and the example was made up; call "
                "`bend.calibrate(loader)` before training, or pass `example=`"
            )


def _trains(model: nn.Module) -> bool:
    return any(module.training for module in model.modules())


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as failure:
        words = (str(failure).splitlines() or [type(failure).__name__])[0]
        raise InputError(
            f"`model` must allow copy.deepcopy, got {type(failure).__name__}: {words}; keep tensors with a history out "
            "of its attributes"
        ) from failure


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"`model` must be a torch.nn.Module, got {type(model).__name__}")
    if isinstance(model, (DataParallel, DistributedDataParallel)):
        raise InputError(f"`model` must not be wrapped, got {type(model).__name__}; bend `model.module` and wrap that")
    for name, module in model.named_modules():
        place = f"`{name}` of `model`" if name else "`model`"
        if isinstance(module, torch._dynamo.eval_frame.OptimizedModule):
            raise InputError(f"{place} must be eager code, got torch.compile's; bend `{name or 'model'}._orig_mod`")
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(f"{place} must be eager code, got TorchScript; pass the module that it was scripted from")
        if isinstance(module.__dict__.get("forward"), Framed):
            raise InputError(f"{place} is bent already; make a Bending of the model that it was made of")


def _install(model: nn.Module, plan: Plan, granularity: Granularity, device: torch.device) -> list[Slot]:
    """Register the alphas on the copy and frame the modules on the way to a bent call."""
    modules, reading = dict(model.named_modules()), Reading()
    framed = {name: Framed(modules[name], name, reading) for name in plan.calls}
    for name, frame in framed.items():
        frame.calls = {path: dict.fromkeys(calls) for path, calls in plan.calls[name].items()}
    slots = []
    for planned in plan.planned:
        site, seen = planned.site, planned.seen
        slot = Slot(
            site.name, modules[seen.module], units=site.units, axis=site.axis % len(seen.after.shape),
            rank=len(seen.after.shape), target=planned.target, alphas=site.units if granularity == "channel" else 1,
            whole_in_place=seen.in_place, device=device,
        )  # fmt: skip
        framed[seen.module].calls[seen.path][seen.name, seen.number] = slot
        slots.append(slot)
    for frame in framed.values():
        frame.install()
    return slots


def _nothing(model: nn.Module, plan: Plan) -> str:
    if not plan.skipped:
        return f"`model` ({type(model).__name__}) must have an activation, got none; there is nothing to make linear"
    listed = "; ".join(f"`{name}`: {reason}" for name, reason in plan.skipped[:5])
    more = f"; and {len(plan.skipped) - 5} more" if len(plan.skipped) > 5 else ""
    return f"`model` ({type(model).__name__}) must have an activation call that can be replaced, got {listed}{more}"
