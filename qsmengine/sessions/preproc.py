"""Preprocessing of a diffusion series, file to file: motion, eddy currents, outlier slices, mask, noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, on_device
from qsmengine.data import DwiSeries
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray
from qsmengine.io.atomic import write_json, write_text
from qsmengine.io.dwi import load_dwi
from qsmengine.io.masks import load_mask
from qsmengine.io.nifti import write_image
from qsmengine.ops.registration import register, rotation_of
from qsmengine.pipeline.outputs.provenance import machine, software
from qsmengine.pipeline.outputs.staging import check_output, staged
from qsmengine.pipeline.run.progress import Progress, ProgressCallback
from qsmengine.stages.denoise.noise import estimate_sigma
from qsmengine.stages.diffusion.motion import MotionParams, correct_motion
from qsmengine.stages.diffusion.slices import SliceParams, SliceResult, b0_mask, outlier_slices

ENDINGS = ("dwi.nii.gz", "dwi.bval", "dwi.bvec", "dwi.json", "mask.nii.gz", "motion.tsv", "outliers.tsv")
"""Endings of the output files."""


@dataclass(frozen=True)
class PreprocRequest:
    """Files and parameters of a preprocessing run.

    Parameters
    ----------
    dwi, bval, bvec
        Image and its gradient table (default: next to the image).
    prefix
        Prefix of the output files, including the folder.
    mask
        Head mask; computed from the b = 0 volumes when None.
    motion
        Parameters of motion correction; None: no registration.
    slices
        Criteria for outlier slices.
    force
        Replace earlier outputs.
    """

    dwi: Path
    prefix: Path
    bval: Path | None = None
    bvec: Path | None = None
    mask: Path | None = None
    motion: MotionParams | None = field(default_factory=MotionParams)
    slices: SliceParams = field(default_factory=SliceParams)
    force: bool = False


@dataclass(frozen=True)
class PreprocOutcome:
    """Files written, and notes about them."""

    files: Sequence[Path]
    notes: Sequence[str]


@on_device
def run_preproc(
    request: PreprocRequest, device: Device, progress: ProgressCallback | None = None
) -> PreprocOutcome:
    """Correct motion and eddy currents, flag outlier slices, compute a mask and estimate the noise.

    Either all outputs are written or none. Outlier slices and noise are determined in the measured volumes, the
    noise in the first b = 0 volume.

    Raises
    ------
    UsageError
        If outputs exist (without force) or would overwrite inputs.
    InputError
        For a series that cannot be read, or has no b = 0 volume.
    DeviceError
        If the registration library is missing.
    """
    loaded = load_dwi(request.dwi, request.bval, request.bvec)
    series, notes = loaded.series, list(loaded.notes)
    names = [Path(f"{request.prefix.name}_{ending}") for ending in ENDINGS]
    sources = [*loaded.sources, *([request.mask] if request.mask is not None else [])]
    check_output(request.prefix.parent, names, sources, force=request.force)
    if request.mask is None:
        mask = b0_mask(series)
    else:
        mask, more = load_mask(request.mask, series.grid)
        notes += more
    lost = outlier_slices(series, mask, request.slices)
    sigma = _noise(series, mask, device, notes)
    matrices = np.tile(np.eye(4), (len(series.b_values), 1, 1))
    corrected = series
    if request.motion is not None:

        def tell(done: int, total: int) -> None:
            if progress is not None:
                progress(Progress("registration", 1, 1, done / total))

        corrected, matrices = correct_motion(
            series, mask, request.motion, device=device, find=register, progress=tell
        )
        mask = b0_mask(corrected) if request.mask is None else mask
    if lost.outlier.any():
        notes.append(f"{int(lost.outlier.sum())} slices lost signal: see {names[-1].name}")
    facts = {
        "Sources": [path.name for path in sources],
        "MotionCorrection": None if request.motion is None else request.motion.model_dump(mode="json"),
        "GradientsRotated": request.motion is not None,
        "SusceptibilityDistortionCorrection": False,
        "NoiseStandardDeviation": sigma,
        "OutlierSlices": int(lost.outlier.sum()),
        "OutlierParameters": request.slices.model_dump(mode="json"),
        "Software": software(),
        **machine(device),
    }
    with staged(request.prefix.parent) as folder:
        _write(folder, names, corrected, mask, matrices, lost, facts)
    return PreprocOutcome([request.prefix.parent / name for name in names], notes)


def motion_table(series: DwiSeries, mask: npt.NDArray[np.bool_], matrices: FloatArray) -> str:
    """Tabulate per volume: shift of the mask's centre [mm], rotations [degree], mean displacement [mm]."""
    points = np.argwhere(mask)[:: max(1, int(mask.sum()) // 5000)] * np.asarray(series.grid.voxel_size)
    centre = points.mean(axis=0)
    rows = ["volume\tb_value\tshift_x\tshift_y\tshift_z\tturn_x\tturn_y\tturn_z\tmean_displacement"]
    for v, (b, matrix) in enumerate(zip(series.b_values, matrices, strict=True)):
        away = points @ (matrix[:3, :3] - np.eye(3)).T + matrix[:3, 3]
        shift = matrix[:3, :3] @ centre + matrix[:3, 3] - centre
        r = rotation_of(matrix)
        turns = np.rad2deg([np.arctan2(r[2, 1], r[2, 2]), -np.arcsin(np.clip(r[2, 0], -1, 1)),
                            np.arctan2(r[1, 0], r[0, 0])])  # fmt: skip
        numbers = [*shift, *turns, np.linalg.norm(away, axis=1).mean()]
        rows.append("\t".join([str(v), f"{b:g}", *(f"{number:.4f}" for number in numbers)]))
    return "\n".join(rows) + "\n"


def slice_table(lost: SliceResult) -> str:
    """Tabulate the outlier slices: volume, slice (both from 0), score in standard deviations."""
    rows = [f"{v}\t{z}\t{lost.score[v, z]:.2f}" for v, z in np.argwhere(lost.outlier).tolist()]
    return "\n".join(["volume\tslice\tscore", *rows]) + "\n"


def _noise(series: DwiSeries, mask: npt.NDArray[np.bool_], device: Device, notes: list[str]) -> float | None:
    first = np.flatnonzero(series.b0_volumes)[:1]
    try:
        return float(estimate_sigma(series.signal[..., first], mask, device=device)[0])
    except InputError as error:
        notes.append(f"noise not measured: {error}")
        return None


def _write(
    folder: Path,
    names: Sequence[Path],
    series: DwiSeries,
    mask: npt.NDArray[np.bool_],
    matrices: FloatArray,
    lost: SliceResult,
    facts: dict[str, Any],
) -> None:
    dwi, bval, bvec, sidecar, head, motion, outliers = (folder / name for name in names)
    write_image(dwi, np.asarray(series.signal, dtype=np.float32), series.grid)
    write_text(bval, " ".join(f"{b:g}" for b in series.b_values) + "\n")
    rows = [" ".join(f"{value:.6f}" for value in axis) for axis in series.b_vectors.T]
    write_text(bvec, "\n".join(rows) + "\n")
    write_json(sidecar, facts)
    write_image(head, mask, series.grid)
    write_text(motion, motion_table(series, mask, matrices))
    write_text(outliers, slice_table(lost))
