"""A diffusion series larger than memory: slabs along z are read, fitted and put away one after the other.

Voxels are fitted one by one, so the maps have the bytes of those of the whole series. A slab is as deep as the
memory allows; maps under way lie in files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.memory import available_memory
from qsmengine.data import Array, DwiSeries
from qsmengine.errors import InputError
from qsmengine.io.dwi import DwiFile
from qsmengine.io.nifti import mapped_voxels, scale_stored
from qsmengine.modalities.dwi.run import TensorMaps, brain_mask, run_dti, unweighted_image
from qsmengine.modalities.dwi.stages import plan_dti
from qsmengine.modalities.dwi.volumes import fit_parameters
from qsmengine.pipeline.configuration.config import Config
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import Progress, ProgressCallback
from qsmengine.pipeline.run.results import Record

MAX_BAD_FRACTION = 0.05
"""Part of the signal that may be NaN or infinite."""


@dataclass(frozen=True)
class Slabs:
    """How a series is divided: `depth` slices at a time, out of `slices`."""

    depth: int
    slices: int

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First slice and end of each slab."""
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
    """Slabs whose fit fits into `limit` bytes, or into what the device has left; one where all fits.

    Raises
    ------
    DeviceError
        Where not even a single slice fits.
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
) -> tuple[TensorMaps, list[str]]:
    """Maps of the whole series, kept in files of `folder`, and notes; as `run_dti` otherwise."""
    maps: dict[str, Array] = {}
    last: TensorMaps | None = None
    seconds, bad = 0.0, 0
    notes: list[str] = []
    with mapped_voxels(file.path, folder) as image:
        if mask is None and fit_parameters(config)[1].mask == "brain":
            mask, notes = _brain(file, image.array, volumes, slabs, device)
        for number, (start, stop) in enumerate(slabs.ranges, start=1):
            if progress is not None:
                progress(Progress(f"slices {start + 1} to {stop}", number, len(slabs.ranges)))
            series, lost = _slab(file, image.array, start, stop, volumes)
            bad += lost
            inside = _inside(series, None if mask is None else mask[:, :, start:stop])
            if not inside.any():
                continue
            part = None if deviation is None else deviation[:, :, start:stop]
            last = run_dti(series, config, device, mask=inside, gradient_deviation=part)
            seconds += last.seconds
            for name, array in last.maps.items():
                if name not in maps:
                    maps[name] = _file(folder, name, array, file.grid.shape)
                maps[name][:, :, start:stop] = to_numpy(array)
    if last is None:
        raise InputError("the mask is empty", field="mask")
    total = file.grid.size * len(file.b_values)
    if bad > MAX_BAD_FRACTION * total:
        raise InputError(f"{bad} of {total} signal values are NaN or infinite", source=file.path)
    if bad:
        notes.append(
            f"{file.path}: {bad} of {total} signal values are NaN or infinite; their voxels are set to 0 in "
            "every volume"
        )
    records = (Record(last.records[0].step, seconds),)
    return TensorMaps(maps, last.units, file.grid, records, last.facts, last.notes), notes


def _brain(
    file: DwiFile, stored: Array, volumes: npt.NDArray[np.intp], slabs: Slabs, device: Device
) -> tuple[Array | None, list[str]]:
    """Brain mask as `run_dti` finds it, and the note; the unweighted image is put together from the slabs."""
    image = np.zeros(file.grid.shape, np.float32)
    for start, stop in slabs.ranges:
        image[:, :, start:stop] = unweighted_image(_slab(file, stored, start, stop, volumes)[0])
    mask, note = brain_mask(image, file.grid, device)
    return (None if mask is None else to_numpy(mask)), [note]


def _slab(
    file: DwiFile, stored: Array, start: int, stop: int, volumes: npt.NDArray[np.intp]
) -> tuple[DwiSeries, int]:
    """Series of some slices, and how many of its values were not finite."""
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


def _inside(series: DwiSeries, mask: Array | None) -> Array:
    """The mask of a slab; without one, every voxel with signal in all b = 0 volumes, as `run_dti` has it."""
    if mask is not None:
        given: Array = np.asarray(mask) != 0
        return given
    inside: Array = np.all(series.signal[..., np.flatnonzero(series.b0_volumes)] > 0, axis=3)
    return inside


def _file(folder: Path, name: str, like: Array, shape: tuple[int, int, int]) -> Array:
    """Array of zeros in a file, Fortran order, with the type and components of `like`."""
    whole = (*shape, *like.shape[3:])
    path = folder / f"{name}.raw"
    mapped: Array = np.memmap(path, dtype=np.dtype(like.dtype), mode="w+", shape=whole, order="F")
    return mapped
