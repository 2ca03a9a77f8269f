"""Fit of a diffusion series larger than memory: slabs along z are read, fitted and stored one after the other.

Voxels are fitted independently, so the maps are identical to those of the whole series. A slab is as thick as
memory allows; intermediate maps are kept in files.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.memory import available_memory
from qsmengine.data import Array, DwiSeries
from qsmengine.errors import InputError
from qsmengine.io.dwi import DwiFile
from qsmengine.io.nifti import mapped_voxels, scale_stored
from qsmengine.io.volume_signal import check_volumes
from qsmengine.modalities.dwi.run import TensorMaps, brain_mask, run_dti, unweighted_image
from qsmengine.modalities.dwi.stages import plan_dti
from qsmengine.modalities.dwi.volumes import fit_parameters
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import Progress, ProgressCallback
from qsmengine.pipeline.run.results import Record
from qsmengine.records import record

if TYPE_CHECKING:
    from qsmengine.stages.diffusion.slice_residuals import SliceResiduals

MAX_BAD_FRACTION = 0.05
"""Largest tolerated fraction of NaN or infinite signal values."""


@record
class Slabs:
    """Division of `slices` slices into slabs of `depth` slices."""

    depth: int
    slices: int

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First slice and end (exclusive) of each slab."""
        return [(z, min(z + self.depth, self.slices)) for z in range(0, self.slices, self.depth)]


def divide(
    plan: Plan,
    config: Config,
    file: DwiFile,
    n_volumes: int,
    device: Device,
    limit: int | None,
    *,
    deviation: bool,
) -> Slabs:
    """Return slabs that can be fitted within `limit` bytes or the free device memory; one slab if all fits.

    Raises
    ------
    DeviceError
        If not even a single slice fits.
    """
    slices = file.grid.shape[2]
    budget = available_memory(device) if limit is None else limit
    if budget is None or plan.memory <= budget:
        return Slabs(slices, slices)
    depth = math.floor(budget * slices / plan.memory)
    if depth == 0:
        single = file.grid.replace(shape=(*file.grid.shape[:2], 1))
        check_memory(plan_dti(config, single, n_volumes, has_deviation=deviation), device, budget)
    return Slabs(max(1, depth), slices)


def run_slabs(
    file: DwiFile,
    volumes: npt.NDArray[np.intp],
    slabs: Slabs,
    config: Config,
    device: Device,
    folder: Path,
    *,
    mask: Array | None = None,
    deviation: Array | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[TensorMaps, SliceResiduals, list[str]]:
    """Fit slab by slab; return maps stored in files of `folder`, residuals of slices, and notes.

    Otherwise as `run_dti`.
    """
    from qsmengine.modalities.dwi.account import fit_residuals
    from qsmengine.stages.diffusion.slice_residuals import unknown_residuals

    residuals = unknown_residuals(len(volumes), file.grid.shape[2])
    maps: dict[str, Array] = {}
    last: TensorMaps | None = None
    seconds, bad = 0.0, 0
    with mapped_voxels(file.path, folder) as image:
        notes = check_volumes(
            file, volumes, lambda index, part: _finite(file, image.array, volumes[index], part)
        )
        given, brain = mask, None
        if given is None and fit_parameters(config)[1].mask == "brain":
            brain, more = _brain(file, image.array, volumes, slabs, device)
            notes += more
        for number, (start, stop) in enumerate(slabs.ranges, start=1):
            if progress is not None:
                progress(Progress(f"slices {start + 1} to {stop}", number, len(slabs.ranges)))
            series, lost = _slab(file, image.array, start, stop, volumes)
            bad += lost
            inside = _with_signal(series) if given is None else np.asarray(given)[:, :, start:stop] != 0
            if brain is not None:
                inside = inside & brain[:, :, start:stop]
            if not inside.any():
                continue
            part = None if deviation is None else deviation[:, :, start:stop]
            last = run_dti(series, config, device, mask=inside, gradient_deviation=part)
            seconds += last.seconds
            found = fit_residuals(last, series, part)
            residuals.apart[:, start:stop], residuals.residual[:, start:stop] = found
            for name, array in last.maps.items():
                if name not in maps:
                    maps[name] = _file(folder, name, array, file.grid.shape)
                maps[name][:, :, start:stop] = to_numpy(array)
    if last is None:
        raise InputError("the mask is empty", field="mask")
    notes += _broken_notes(file, bad)
    records = (Record(last.records[0].step, seconds),)
    return TensorMaps(maps, last.units, file.grid, records, last.facts, last.notes), residuals, notes


def _finite(file: DwiFile, stored: Array, volume: int, part: tuple[slice, ...]) -> Array:
    """Return a part (x, y, z) of one volume, scaled, unknown values as 0."""
    found = stored[..., volume][part]
    native = found.astype(found.dtype.newbyteorder("="))
    scaled = scale_stored(native, file.header.slope, file.header.intercept)
    finite: Array = np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0)
    return finite


def _broken_notes(file: DwiFile, bad: int) -> list[str]:
    """Return a note on `bad` non-finite values; raises InputError if they are too many."""
    if bad == 0:
        return []
    total = file.grid.size * len(file.b_values)
    if bad > MAX_BAD_FRACTION * total:
        raise InputError(f"{bad} of {total} signal values are NaN or infinite", source=file.path)
    return [
        (
            f"{file.path}: {bad} of {total} signal values are NaN or infinite; their voxels are set to 0 in "
            "every volume"
        )
    ]


def _brain(
    file: DwiFile, stored: Array, volumes: npt.NDArray[np.intp], slabs: Slabs, device: Device
) -> tuple[Array | None, list[str]]:
    """Return the brain mask and note of `run_dti`, with the unweighted image assembled from the slabs."""
    image = np.zeros(file.grid.shape, np.float32)
    for start, stop in slabs.ranges:
        series, _ = _slab(file, stored, start, stop, volumes)
        image[:, :, start:stop] = to_numpy(unweighted_image(series, device)[0])
    mask, note = brain_mask(image, file.grid, device)
    return (None if mask is None else to_numpy(mask)), [note]


def _slab(
    file: DwiFile, stored: Array, start: int, stop: int, volumes: npt.NDArray[np.intp]
) -> tuple[DwiSeries, int]:
    """Read some slices of the series; also return the number of non-finite values."""
    part = np.asfortranarray(stored[:, :, start:stop])
    part = part.astype(part.dtype.newbyteorder("="), copy=False)
    signal = scale_stored(part, file.header.slope, file.header.intercept)
    lost = 0
    if not file.whole_numbers:
        broken = ~np.isfinite(signal)
        lost = int(broken.sum())
        if lost:
            unknown = broken[..., volumes].any(axis=3, keepdims=True)
            signal = np.where(broken | unknown, np.float32(0), signal)
    return file.series(signal, volumes), lost


def _with_signal(series: DwiSeries) -> Array:
    """Return the voxels of a slab with signal in all b = 0 volumes, as `run_dti` fits without a mask."""
    inside: Array = np.all(series.signal[..., np.flatnonzero(series.b0_volumes)] > 0, axis=3)
    return inside


def _file(folder: Path, name: str, like: Array, shape: tuple[int, int, int]) -> Array:
    """Create a file-backed array of zeros in Fortran order, with the type and components of `like`."""
    whole = (*shape, *like.shape[3:])
    path = folder / f"{name}.raw"
    mapped: Array = np.memmap(path, dtype=np.dtype(like.dtype), mode="w+", shape=whole, order="F")
    return mapped
