"""A virtual cohort: a BIDS dataset of many sessions of one head, optionally with faults.

Tissue, fields and noise-free signals are computed once; each session adds different noise. The faults are
typical of an imaging core; ``derivatives/truth/faults.json`` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsmengine.errors import UsageError
from qsmengine.io import write_json, write_text
from qsmengine.io.bids import BIDS_VERSION, BidsName, write_dataset_description
from qsmengine.phantom.faults import Fault, damage, fault_kinds
from qsmengine.phantom.head import VirtualHead
from qsmengine.phantom.volumes import write_volume
from qsmengine.version import __version__

WHITE_MATTER = (2, 41)
"""Labels whose mean signal the SNR refers to."""


@dataclass(frozen=True)
class CohortSettings:
    """Settings of a virtual cohort.

    Parameters
    ----------
    sessions, visits
        Total number of sessions, and sessions per subject; with one visit there are no ``ses-`` folders.
    snr
        SNR in white matter at the first echo and at b = 0.
    seed
        Seed of noise, participants and faults.
    faults
        True: some of the sessions are damaged.
    """

    sessions: int = 24
    visits: int = 1
    snr: float = 100.0
    seed: int = 0
    faults: bool = False


def write_cohort(
    root: str | Path,
    head: VirtualHead,
    settings: CohortSettings,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Fault]:
    """Write a virtual cohort as a BIDS dataset into `root`; return the faults by session.

    Raw data as :func:`qsmengine.phantom.write_bids` writes them, ``participants.tsv``, and under
    ``derivatives/truth`` chi [ppm], brain mask and labels of every session.

    Parameters
    ----------
    root
        Folder of the dataset.
    head
        Head without noise.
    settings
        Settings of the cohort.
    progress
        Called with the name of every session written.

    Raises
    ------
    UsageError
        For a number of sessions or an SNR out of range, and a head that already has noise.
    """
    root = Path(root)
    drawings = [drawing for drawing, _ in head.images]
    _check(head, settings, len(fault_kinds(drawings)))
    names = _names(settings)
    plan, people, noise = (np.random.default_rng(s) for s in np.random.SeedSequence(settings.seed).spawn(3))
    _write_dataset(root, names, settings, people)
    _write_labels(root, head)
    for name in names:
        _write_session(root, name, head, settings.snr, noise)
        if progress is not None:
            progress(_key(name))
    folders = {_key(name): root / name.folder for name in names}
    faults = damage(root, folders, drawings, plan) if settings.faults else {}
    write_json(
        root / "derivatives" / "truth" / "faults.json",
        {key: {"Fault": one.kind, "Step": one.step, "Files": list(one.files)} for key, one in faults.items()},
    )
    return faults


def _check(head: VirtualHead, settings: CohortSettings, kinds: int) -> None:
    if settings.sessions < 1 or settings.visits < 1:
        raise UsageError(f"sessions and visits: {settings.sessions} and {settings.visits}; need 1 or more")
    if not settings.snr > 0:
        raise UsageError(f"snr: {settings.snr} is not positive")
    if settings.faults and settings.sessions <= kinds:
        raise UsageError(f"sessions: {settings.sessions}; with faults there must be more than {kinds}")
    if head.settings.get("SNR") is not None:
        raise UsageError("the head of a cohort must have no noise")


def _names(settings: CohortSettings) -> list[BidsName]:
    width = max(2, len(str(-(-settings.sessions // settings.visits))))
    names = []
    for number in range(settings.sessions):
        entities = {"sub": f"{number // settings.visits + 1:0{width}d}"}
        if settings.visits > 1:
            entities["ses"] = str(number % settings.visits + 1)
        names.append(BidsName(entities, "x"))
    return names


def _key(name: BidsName) -> str:
    return name.filename.removesuffix("_x.nii.gz")


def _write_dataset(
    root: Path, names: Sequence[BidsName], settings: CohortSettings, rng: np.random.Generator
) -> None:
    description = f"one virtual head, {settings.sessions} sessions, noise of seed {settings.seed}"
    write_json(
        root / "dataset_description.json",
        {
            "Name": "Virtual cohort",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "raw",
            "GeneratedBy": [{"Name": "qsmengine", "Version": __version__, "Description": description}],
        },
    )
    write_text(
        root / "README.md", f"# Virtual cohort\n\nSimulated with qsmengine {__version__}: {description}.\n"
    )
    subjects = dict.fromkeys(name.entities["sub"] for name in names)
    rows = [
        f"sub-{label}\t{rng.integers(20, 70)}\t{rng.choice(['F', 'M'])}\t{rng.choice(['control', 'patient'])}"
        for label in subjects
    ]
    write_text(root / "participants.tsv", "\n".join(["participant_id\tage\tsex\tgroup", *rows]) + "\n")
    write_json(
        root / "participants.json",
        {
            "age": {"Description": "Age, drawn at random", "Units": "year"},
            "sex": {"Description": "Sex, drawn at random", "Levels": {"F": "female", "M": "male"}},
            "group": {
                "Description": "Group, drawn at random",
                "Levels": {"control": "control", "patient": "patient"},
            },
        },
    )


def _write_labels(root: Path, head: VirtualHead) -> None:
    truth = root / "derivatives" / "truth"
    write_dataset_description(truth, name="Truth of the virtual cohort", version=__version__)
    rows = ["index\tname", *(f"{label}\t{name}" for label, name in head.label_names.items())]
    write_text(truth / "dseg.tsv", "\n".join(rows) + "\n")


def _write_session(
    root: Path, name: BidsName, clean: VirtualHead, snr: float, rng: np.random.Generator
) -> None:
    settings = {**clean.settings, "SNR": snr}
    reference = np.isin(clean.labels, WHITE_MATTER)
    folder = root / name.folder
    for drawing, series in clean.images:
        drawing.write(drawing.add_noise(series, snr, reference, rng), folder, name.entities, settings)
    truth = root / "derivatives" / "truth" / name.folder / "anat"
    chi = clean.truth["chi"]
    write_volume(truth, name.derivative("Chimap"), chi.array, clean.grid, {"Units": chi.unit})
    write_volume(truth, name.derivative("mask", desc="brain"), clean.mask, clean.grid, {"Type": "Brain"})
    write_volume(truth, name.derivative("dseg"), clean.labels, clean.grid, {"Description": "true labels"})
