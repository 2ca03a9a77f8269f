"""A step of the plan as the request that a session is run from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qsmengine.cohort.plan.model import Step
from qsmengine.modalities.dwi.session import DtiRequest
from qsmengine.modalities.gre.session import QsmRequest
from qsmengine.pipeline.outputs.staging import Writing


def qsm_request(
    step: Step, bids: str | Path, out: str | Path, *, force: bool = False, writing: Writing | None = None
) -> QsmRequest:
    """Request of a qsm step, its files below `bids`, its outputs below `out`."""
    files = {role: tuple(Path(bids) / path for path in paths) for role, paths in step.inputs.items()}
    options: dict[str, Any] = step.options
    times = options.get("echo_times")
    return QsmRequest(
        magnitude=files.get("magnitude", ()),
        phase=files.get("phase", ()),
        real=files.get("real", ()),
        imag=files.get("imag", ()),
        out=Path(out),
        echo_times=None if times is None else tuple(float(time) for time in times),
        field_strength=options.get("field_strength"),
        mask=_one(files, "mask"),
        labels=_one(files, "labels"),
        r2=_one(files, "r2"),
        force=force,
        name=options.get("name"),
        writing=writing or Writing(),
    )


def dti_request(
    step: Step,
    bids: str | Path,
    out: str | Path,
    *,
    force: bool = False,
    writing: Writing | None = None,
    max_memory: int | None = None,
) -> DtiRequest:
    """Request of a dti step; outputs have the names of BIDS derivatives."""
    files = {role: tuple(Path(bids) / path for path in paths) for role, paths in step.inputs.items()}
    return DtiRequest(
        dwi=files["dwi"][0],
        prefix=Path(out) / str(step.options["prefix"]),
        bval=_one(files, "bval"),
        bvec=_one(files, "bvec"),
        mask=_one(files, "mask"),
        names="bids",
        max_memory=max_memory,
        force=force,
        writing=writing or Writing(),
    )


def _one(files: dict[str, tuple[Path, ...]], role: str) -> Path | None:
    return files[role][0] if files.get(role) else None
