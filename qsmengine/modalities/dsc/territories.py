"""Local arteries: every territory of the brain is deconvolved by the curve of an artery in it.

In each territory, the artery is chosen as :mod:`qsmengine.stages.perfusion.aif` chooses that of the brain, and
its curve is scaled to the area of the brain's: a small artery fills its voxels only partly, so that its area
says nothing about blood volume, but its time and width are free of delay and dispersion on the way there.
A territory without an artery keeps the brain's, and so do voxels outside every territory.

References: Calamante et al. 2004, 10.1002/mrm.20170; Lorenz et al. 2006, 10.1002/jmri.20744.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array, DscSeries
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.perfusion.aif import AutomaticParams, artery
from qsmengine.stages.perfusion.candidates import Candidates, find_candidates

_LEAST_AREA = 0.5
"""Smallest area of a local curve over that of the brain's artery; curves of tissue are below."""
_MOST = 100
"""Largest number of territories."""


Result = TypeVar("Result", bound=RunResult)


class LocalArtery(NamedTuple):
    """Curve (frame,) [1/s] of an artery, its `voxels` and its `territory` (x, y, z) bool on the host."""

    curve: FloatArray
    voxels: npt.NDArray[np.bool_]
    territory: npt.NDArray[np.bool_]


def with_local_arteries(
    found: Result, series: DscSeries, aif: FloatArray, territories: Array, device: Device
) -> tuple[Result, Mapping[int, LocalArtery]]:
    """Return the maps of every territory deconvolved by the artery in it, and the arteries by label.

    `aif` (frame,) [1/s] is the brain's artery; `territories` (x, y, z) holds labels, 0 outside.

    Raises
    ------
    InputError
        For labels of another shape, that are no whole numbers, or more than 100, and if none lies in the brain.
    """
    inside = to_numpy(found.maps["brain_mask"]) > 0
    labels = _checked(territories, inside)
    times = tuple(series.times.tolist())
    maps = found.maps
    candidates = find_candidates(
        maps["dr2star"], maps["dr2star_sd"], maps["saturated"], maps["brain_mask"], times,
        float(found.facts["arrival"]), series.grid, device, maps["s0"],
    )  # fmt: skip
    step, own, notes = found.records[-1].step, {}, []
    merged = dict(found.maps)
    for label in np.unique(labels[labels > 0]).tolist():
        local = _local(candidates, labels == label, aif)
        if local is None:
            notes.append(f"territory {label}: no artery found in it, that of the brain is used")
            continue
        own[label] = local
        where = device.asarray(local.territory, bool)
        inputs = {"dr2star": maps["dr2star"], "mask": where, "frame_times": times, "aif": local.curve}
        result = step.method(inputs, series.grid, step.params, device=device)
        for name, image in result.items():
            if name in merged:
                merged[name] = device.xp.where(where, image, merged[name])
    if own:
        notes.append(f"local arteries in {len(own)} territories, scaled to the area of the brain's")
    return replace(found, maps=merged, notes=(*found.notes, *notes)), own


def _local(candidates: Candidates, region: npt.NDArray[np.bool_], aif: FloatArray) -> LocalArtery | None:
    """Return the artery of a region; None without one."""
    try:
        voxels = artery(candidates, AutomaticParams(), region)
    except InputError:
        return None
    curve = candidates.mean_curve(voxels)
    if curve.sum() < _LEAST_AREA * aif.sum():
        return None
    scaled = np.asarray(curve * (aif.sum() / curve.sum()))
    return LocalArtery(scaled, candidates.mask_of(voxels), region & candidates.inside)


def _checked(territories: Array, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the labels inside the brain (x, y, z), 0 elsewhere."""
    given = np.asarray(to_numpy(territories))
    if given.shape != inside.shape:
        raise InputError(
            f"the territories have shape {given.shape}, the series has {inside.shape}", field="territories"
        )
    values = np.where(inside, given, 0)
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or values.min() < 0:
        raise InputError("territories must be labels: whole numbers from 0", field="territories")
    labels = values.astype(np.int64)
    count = np.unique(labels[labels > 0]).size
    if not 0 < count <= _MOST:
        reason = "none lies in the brain mask" if not count else f"{count} labels, at most {_MOST} are possible"
        raise InputError(f"territories: {reason}", field="territories")
    return labels
