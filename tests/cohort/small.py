"""Small cohorts as files, with their plans written by hand."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from qsmengine.cohort.ledger.places import HOME
from qsmengine.cohort.plan.model import CohortPlan, Session, Step
from qsmengine.modalities.registry import modality_of
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.outputs.provenance import file_digest
from tests.made_sessions import make_ball, write_ball, write_dwi

SHAPE = (20, 18, 16)
SETTINGS = ("inversion=tkd", "relaxometry=none")


@cache
def ball(seed: int):
    return make_ball(seed, shape=SHAPE, echo_times=(0.004, 0.009))


@cache
def configuration(step: str, *more: str) -> dict[str, object]:
    modality = modality_of(step)
    assert modality is not None
    return load_config(preset="fast", settings=(*SETTINGS, *more), sections=modality.sections).as_tree()


def write_cohort(folder: Path, count: int, *, dwi: bool = False, different: int = 2) -> Path:
    """BIDS dataset of `count` sessions; only `different` of them have images of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text(
        json.dumps({"Name": "balls", "BIDSVersion": "1.10.0", "DatasetType": "raw"})
    )
    for number in range(count):
        subject = f"sub-{number:02d}"
        write_ball(folder / subject / "anat", ball(number % different), subject + "_{echo}part-{part}_MEGRE")
        if dwi:
            made, _ = write_dwi(folder / subject / "dwi", number)
            for path in list(made.parent.iterdir()):
                path.rename(path.with_name(path.name.replace("sub-01", subject)))
    return folder


def qsm_step(subject: str, *more: str) -> Step:
    stem = f"sub-{subject}/anat/sub-{subject}_echo"
    files = {
        role: tuple(f"{stem}-{echo}_part-{part}_MEGRE.nii.gz" for echo in (1, 2))
        for role, part in (("magnitude", "mag"), ("phase", "phase"))
    }
    outputs = (f"sub-{subject}/anat/sub-{subject}_Chimap.nii.gz",)
    options = {"name": f"sub-{subject}_MEGRE.nii.gz"}
    return Step(
        name="qsm",
        kind="qsm",
        inputs=files,
        outputs=outputs,
        settings=configuration("qsm", *more),
        options=options,
    )


def dti_step(subject: str) -> Step:
    stem = f"sub-{subject}/dwi/sub-{subject}_dwi"
    files = {"dwi": (f"{stem}.nii.gz",), "bval": (f"{stem}.bval",), "bvec": (f"{stem}.bvec",)}
    return Step(
        name="dti",
        kind="dti",
        inputs=files,
        settings=configuration("dti"),
        options={"name": f"sub-{subject}_dwi.nii.gz"},
    )


def plan_of(bids: Path, out: Path, count: int, *more: str, dwi: bool = False) -> CohortPlan:
    sessions = []
    for number in range(count):
        subject = f"{number:02d}"
        steps = (qsm_step(subject, *more), *([dti_step(subject)] if dwi else []))
        sessions.append(Session(subject=subject, steps=steps))
    return CohortPlan(str(bids), str(out), tuple(sessions))


def derivatives(out: Path) -> dict[str, str]:
    """SHA-256 of every file but the engine's own."""
    return {
        path.relative_to(out).as_posix(): file_digest(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and HOME not in path.relative_to(out).parts
    }
