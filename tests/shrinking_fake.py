"""What the commands call, without a network that is made smaller: it keeps what it was asked and answers by hand."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import shrinking_readings as made
from netcaliper.errors import InputError
from netcaliper.reading.shrinking import ShrinkPlan, ShrinkProof
from netcaliper.reading.shrinking_folder import PLAN, PROOF, plan_bytes, proof_bytes
from netcaliper.reading.writing import write_folder

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class FakeShrunk:
    """A small network that is only paper."""

    model: Any
    plan: ShrinkPlan
    proof: ShrinkProof

    def save(self, folder: Path) -> Path:
        files = {PLAN: plan_bytes(self.plan), PROOF: proof_bytes(self.proof), WEIGHTS: b"weights"}
        return write_folder(folder, files)


@dataclass
class Fake:
    """Stands in for ``netcaliper.shrink.shrink``.

    Attributes:
        met: whether the target is met.
        interrupted: stop after the first step that was verified.
        asked: what it was called with.
    """

    met: bool = True
    interrupted: bool = False
    asked: list[SimpleNamespace] = field(default_factory=list)

    def shrink(self, model: Any, data: Any, *, keep: Any, progress: Any, **asked: Any) -> FakeShrunk:
        self.asked.append(SimpleNamespace(model=model, data=data, **asked))
        progress("9 steps", 0, 9)
        for done in range(1, 4):
            keep(made.plan(steps=made.steps()[:done]))
            if self.interrupted:
                raise KeyboardInterrupt
        return self._made(model, made.plan(model=asked["name"], data=asked["data_name"]))

    def apply_plan(self, model: Any, data: Any, plan: ShrinkPlan, *, progress: Any, **asked: Any) -> FakeShrunk:
        self.asked.append(SimpleNamespace(model=model, data=data, plan=plan, **asked))
        progress("1 step", 0, 1)
        if plan.model_fingerprint != "a" * 64:
            raise InputError(f"`plan` must be for this network ({'a' * 12}), got {plan.model_fingerprint[:12]}.")
        return self._made(model, plan)

    def _made(self, model: Any, plan: ShrinkPlan) -> FakeShrunk:
        words = "137,210 parameters are 50.4 %" if self.met else "the smallest that keeps the tolerance is 60 %"
        return FakeShrunk(model, plan, made.proof(command=None, target_met=self.met, target_words=words))
