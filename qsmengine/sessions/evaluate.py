"""Comparison of a map file with a truth file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qsmengine.data import Array
from qsmengine.errors import shorten
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.masks import read_mask
from qsmengine.io.nifti import read_image
from qsmengine.io.sidecars import read_sidecar
from qsmengine.sessions.single import field_in_ppm
from qsmengine.stages.metrics import DGM_LABELS, Evaluation, evaluate


def evaluate_files(
    estimate: Path,
    truth: Path,
    mask: Path,
    labels: Path | None = None,
    dgm_labels: Sequence[int] = DGM_LABELS,
    notes: list[str] | None = None,
) -> Evaluation:
    """Score one map against the truth on the mask's grid (see :mod:`qsmengine.stages.metrics`).

    Notes on the mask, and on labels that no voxel has, are appended to `notes`.

    Maps are assumed to be in [ppm]; if their sidecar states [Hz], they are converted with its field strength.

    Raises
    ------
    InputError
        For files that cannot be read or do not share the mask's grid, and units other than ppm and Hz.
    """
    inside, grid, found = read_mask(mask)
    if notes is not None:
        notes += found
    e, t = (_read_map(path, name, grid) for path, name in ((estimate, "estimate"), (truth, "truth")))
    regions = None if labels is None else _read_on(labels, grid, np.int32)
    if notes is not None and regions is not None:
        absent = sorted(set(dgm_labels) - set(np.unique(regions).tolist()))
        if absent:
            listed = shorten([str(label) for label in absent])
            notes.append(
                f"{labels}: no voxel is labelled {listed}: not part of dgm_slope, which needs two regions"
            )
    volume = float(np.prod(grid.voxel_size))
    return evaluate(e, t, inside, volume, labels=regions, dgm_labels=dgm_labels)


def _read_on(path: Path, grid: Grid, dtype: type) -> Array:
    array, own, _ = read_image(path, dtype=dtype)
    check_same_grid(own, grid, path, "the mask")
    return array


def _read_map(path: Path, name: str, grid: Grid) -> Array:
    sidecar = read_sidecar(path)
    units = sidecar.text("Units") or "ppm"
    own = grid.replace(field_strength=sidecar.field_strength)
    array: Array = field_in_ppm(_read_on(path, grid, np.float32), path, name, units=units, grid=own)
    return array
