"""Faults of a dataset as they are common in an imaging core, drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsmengine.io import read_image, write_image

SHARE = 5
"""Sessions per fault; every kind of fault occurs at least once."""


@dataclass(frozen=True)
class Fault:
    """Fault of a session: its `kind`, the `step` that cannot run, the faulty `files`."""

    kind: str
    step: str
    files: tuple[str, ...]


def fault_kinds(modalities: Sequence[str]) -> tuple[str, ...]:
    """Return the faults that a cohort of these modalities can have."""
    kinds: tuple[str, ...] = ()
    if "gre" in modalities:
        kinds += ("missing sidecar", "truncated file", "mismatched grid", "missing phase")
    if "dwi" in modalities:
        kinds += ("missing directions",)
    if {"gre", "dwi"} <= set(modalities):
        kinds += ("missing modality",)
    return kinds


def damage(
    root: Path, folders: Mapping[str, Path], modalities: Sequence[str], rng: np.random.Generator
) -> dict[str, Fault]:
    """Damage some of the sessions of a written dataset, each in one way.

    Parameters
    ----------
    root
        Dataset; file names in the result are relative to it.
    folders
        Session -> its folder.
    modalities
        Those of "gre" and "dwi" that the sessions have.
    rng
        Chooses sessions, faults and files.

    Returns
    -------
    dict
        Session -> fault, in the order of `folders`.
    """
    kinds = fault_kinds(modalities)
    count = max(len(kinds), len(folders) // SHARE)
    names = list(folders)
    chosen = sorted(rng.choice(len(names), count, replace=False).tolist())
    order = rng.permutation([kinds[index % len(kinds)] for index in range(count)])
    return {
        names[index]: _break(root, folders[names[index]], str(kind), rng)
        for index, kind in zip(chosen, order, strict=True)
    }


def _break(root: Path, folder: Path, kind: str, rng: np.random.Generator) -> Fault:
    """Damage a session."""
    phases = sorted((folder / "anat").glob("*part-phase_MEGRE.nii.gz"))
    if kind == "missing sidecar":
        files = sorted((folder / "anat").glob("*_MEGRE.json"))
    elif kind == "missing directions":
        files = sorted((folder / "dwi").glob("*.bvec"))
    elif kind == "missing phase":
        files = sorted((folder / "anat").glob("*part-phase_MEGRE.*"))
    elif kind == "missing modality":
        files = sorted((folder / "anat").glob("*_MEGRE.*"))
    else:
        files = [phases[int(rng.integers(len(phases)))]]
    if kind == "truncated file":
        content = files[0].read_bytes()
        files[0].write_bytes(content[: int(len(content) * rng.uniform(0.2, 0.8))])
    elif kind == "mismatched grid":
        array, grid, _ = read_image(files[0])
        nx, ny, nz = grid.shape
        write_image(files[0], array[:, :, : nz - 2], grid.replace(shape=(nx, ny, nz - 2)))
    else:
        for path in files:
            path.unlink()
        if kind == "missing modality":
            (folder / "anat").rmdir()
    step = "dti" if kind == "missing directions" else "qsm"
    return Fault(kind, step, tuple(path.relative_to(root).as_posix() for path in files))
