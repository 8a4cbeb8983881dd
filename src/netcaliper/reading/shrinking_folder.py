"""The plan and the proof of a shrunk network on disk: two JSON files with sorted keys, beside the weights.

Equal plans are equal bytes, so that any tool that compares text compares plans.
"""

from os import PathLike
from pathlib import Path
from typing import TypeVar

from netcaliper.errors import InputError
from netcaliper.reading.shrinking import PLAN_VERSION, PROOF_VERSION, ShrinkPlan, ShrinkProof, ShrinkReading
from netcaliper.reading.shrinking_contradiction import plan_contradiction, proof_contradiction
from netcaliper.reading.writing import RECORD, corrupt, json_bytes, read_record

PLAN, PROOF = "plan.json", "proof.json"
PLAN_FORMAT, PROOF_FORMAT = "netcaliper plan", "netcaliper proof"
AGAIN = "shrink again with this one"

F = TypeVar("F", ShrinkPlan, ShrinkProof)


def plan_bytes(plan: ShrinkPlan) -> bytes:
    """Return the content of ``plan.json``.

    Raises:
        InputError: the plan contradicts itself.
    """
    return _bytes(plan, "plan", PLAN_FORMAT, plan_contradiction(plan))


def proof_bytes(proof: ShrinkProof) -> bytes:
    """Return the content of ``proof.json``.

    Raises:
        InputError: the proof contradicts itself.
    """
    return _bytes(proof, "proof", PROOF_FORMAT, proof_contradiction(proof))


def read_plan(path: str | PathLike[str]) -> ShrinkPlan:
    """Open a plan.

    Args:
        path: the file, or the folder that holds it as ``plan.json``.

    Raises:
        CorruptReading: it is missing, damaged, no plan, or contradicts itself.
        NewerSchema: a later netcaliper wrote it.
    """
    source = Path(path)
    folder, name = (source, PLAN) if source.is_dir() else (source.parent, source.name)
    plan = read_record(ShrinkPlan, folder, name, PLAN_FORMAT, PLAN_VERSION, AGAIN)
    return _sound(plan, folder, name, plan_contradiction(plan))


def holds_shrinking(folder: Path) -> bool:
    """Whether a folder is one of a shrunk network rather than of a reading."""
    return not (folder / RECORD).exists() and any((folder / name).exists() for name in (PLAN, PROOF))


def read_shrinking(folder: Path) -> ShrinkReading:
    """Open the plan and the proof in a folder; raises as ``read_plan`` does."""
    proof = read_record(ShrinkProof, folder, PROOF, PROOF_FORMAT, PROOF_VERSION, AGAIN)
    return ShrinkReading(plan=read_plan(folder), proof=_sound(proof, folder, PROOF, proof_contradiction(proof)))


def _bytes(record: ShrinkPlan | ShrinkProof, argument: str, format: str, problem: str | None) -> bytes:
    if problem:
        raise InputError(f"`{argument}` cannot be written: {problem}.")
    return json_bytes(record.model_dump(mode="python") | {"format": format})


def _sound(record: F, folder: Path, name: str, problem: str | None) -> F:
    if problem:
        raise corrupt(folder, name, problem)
    return record
