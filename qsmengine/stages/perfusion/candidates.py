"""Features of curves, and voxels that may lie in an artery or a vein."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, array_module, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.morphology import without_layer
from qsmengine.ops.order_statistics import median, percentile
from qsmengine.stages.perfusion.curves import Curves, curves_of
from qsmengine.stages.perfusion.maps import features_of

BEFORE, AFTER = 5.0, 25.0
"""Window around the arrival of the bolus [s]."""
_LARGE_AREAS = 90.0
"""Percentile of the areas from which on they are large."""
_SPIKE = 3.0
"""Largest sum of squared second differences over peak^2: that of a passage is below, of a single frame 6."""
_NOISIEST = 2.0
"""Largest noise of a candidate, over the median of the candidates."""
_SHARE = 0.6
"""Smallest area of a candidate, over the mean of the `_LARGEST` largest."""
_LARGEST = 5
_PURE = 0.96
_DARKEST = 0.5
"""Smallest signal before the bolus of a candidate, over that of its brightest neighbour."""

FloatArray = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Candidates:
    """Features (x, y, z) of every voxel, on the host, and access to their curves.

    ``inside`` voxels of the mask; ``unsaturated`` those that never saturate; ``usable`` the latter without the
    mask's rim; ``area`` [1], ``peak`` [1/s], ``moment`` m1 [s] from the start of the window, ``width`` [s],
    ``roughness`` [1]; ``sd`` of dR2* at baseline [1/s]; ``s0`` signal before the bolus, any unit, 0 outside the
    mask, or None.
    """

    curves: Curves
    grid: Grid
    inside: npt.NDArray[np.bool_]
    unsaturated: npt.NDArray[np.bool_]
    usable: npt.NDArray[np.bool_]
    area: FloatArray
    peak: FloatArray
    moment: FloatArray
    width: FloatArray
    roughness: FloatArray
    sd: FloatArray
    s0: npt.NDArray[np.float32] | None = None

    def likely(self, region: npt.NDArray[np.bool_] | None = None) -> Places:
        """Return flat indices of early curves of large area, best score p / (m1 w) first, in a `region`."""
        usable = (self.usable if region is None else self.usable & region) & (self.area > 0)
        where = np.flatnonzero(usable)
        where = where[(self.width.flat[where] > 0) & (self.moment.flat[where] > 0)]
        if not where.size:
            return where
        area = self.area.flat[where]
        where = where[area >= percentile(area, _LARGE_AREAS)]
        moment = self.moment.flat[where]
        where = where[moment <= median(moment)]
        where = where[self.sd.flat[where] <= _NOISIEST * median(self.sd.flat[where])]
        where = where[self.smooth(where)]
        where = where[self.bright(where)]
        if not where.size:
            return where
        area = self.area.flat[where]
        where = where[area >= _SHARE * float(np.sort(area)[-_LARGEST:].mean())]
        return where[np.argsort(-self.score(where), kind="stable")]

    def smooth(self, where: Places) -> npt.NDArray[np.bool_]:
        """Return which voxels do not hold a spike of a single frame."""
        area = self.area.flat[where] / self.curves.step
        return np.asarray(self.roughness.flat[where] * area**2 <= _SPIKE * self.peak.flat[where] ** 2)

    def bright(self, where: Places) -> npt.NDArray[np.bool_]:
        """Return which voxels have half the signal before the bolus of their brightest neighbour, or more.

        A voxel that lies mostly in bone or air shows only the blood in it, so that its curve may be that of an
        artery although little of the voxel is. Neighbours share the sensitivity of the coil; those outside the
        mask do not count. Without ``s0``, all voxels are bright.
        """
        if self.s0 is None or not where.size:
            return np.ones(where.size, bool)
        points = np.stack(np.unravel_index(where, self.grid.shape))[:, :, np.newaxis]
        steps = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij")).reshape(3, 1, -1)
        last = np.array(self.grid.shape)[:, np.newaxis, np.newaxis] - 1
        around = self.s0[tuple(np.clip(points + steps, 0, last))]
        return np.asarray(self.s0.flat[where] >= _DARKEST * around.max(axis=1))

    def score(self, where: Places) -> FloatArray:
        """Return p / (m1 w) of voxels."""
        return np.asarray(self.peak.flat[where] / (self.moment.flat[where] * self.width.flat[where]))

    def curves_at(self, where: Places) -> FloatArray:
        """Return the curves (voxel, frame) [1/s] of voxels given by flat indices."""
        order, shape = self.curves.planes.order, self.grid.shape
        points = np.unravel_index(where, shape)
        flat = np.ravel_multi_index(tuple(points[axis] for axis in order), tuple(shape[axis] for axis in order))
        planes = self.curves.planes.array
        return np.asarray(to_numpy(planes[:, array_module(planes).asarray(flat)]).T, dtype=np.float64)

    def mean_curve(self, where: Places) -> FloatArray:
        """Return the mean curve (frame,) of voxels, weighted by 1 / sigma^2."""
        floor = 1e-3 * float(self.peak.flat[where].mean())
        weight = 1.0 / (self.sd.flat[where] ** 2 + floor**2)
        return np.asarray(weight @ self.curves_at(where) / weight.sum())

    def purest(self, where: Places, fewest: int, most: int) -> Places:
        """Return the voxels of `where` that lie most completely in a vessel, in their order in memory.

        Purity is the smaller of area and peak, each over the mean of the `fewest` largest. Voxels of a purity
        of at least `_PURE` are chosen, at least `fewest` and at most `most`.
        """
        parts = (self.area.flat[where], self.peak.flat[where])
        purity = np.minimum(*(part / np.sort(part)[-fewest:].mean() for part in parts))
        count = max(int((purity >= _PURE).sum()), fewest)
        return np.sort(where[np.argsort(-purity, kind="stable")[: min(count, most)]])

    def mask_of(self, where: Places) -> npt.NDArray[np.bool_]:
        """Return voxels given by flat indices as a mask (x, y, z)."""
        image = np.zeros(self.grid.shape, bool)
        image.flat[where] = True
        return image


def find_candidates(
    dr2star: Array,
    dr2star_sd: Array,
    saturated: Array,
    mask: Array,
    frame_times: tuple[float, ...],
    arrival: float,
    grid: Grid,
    device: Device,
    s0: Array | None = None,
) -> Candidates:
    """Return the features of every voxel on the window around the `arrival` [s] of the bolus.

    `s0` (x, y, z) is the signal before the bolus, any unit.

    Raises
    ------
    InputError
        For shapes that do not match, an empty mask, and an arrival outside the series.
    """
    curves = curves_of(dr2star, mask, frame_times, grid, device)
    start = frame_times[0]
    if not start <= arrival <= frame_times[-1]:
        raise InputError(f"the bolus arrives at {arrival:g} s, outside the series", field="arrival")
    first = max(math.floor((arrival - BEFORE - start) / curves.step + 0.5), 0)
    last = min(math.floor((arrival + AFTER - start) / curves.step + 0.5) + 1, curves.frames)
    found = {
        name: np.ascontiguousarray(to_numpy(curves.planes.unflatten(image)), dtype=np.float64)
        for name, image in features_of(curves, device, first, last).items()
    }
    inside = np.ascontiguousarray(to_numpy(mask)) != 0
    unsaturated = inside & ~(np.ascontiguousarray(to_numpy(saturated)) > 0)
    usable = _without_rim(inside) & unsaturated
    return Candidates(
        curves, grid, inside, unsaturated, usable, found["area"] * curves.step, found["peak"],
        found["centre"] * curves.step, found["width"] * curves.step, found["roughness"],
        np.where(inside, np.ascontiguousarray(to_numpy(dr2star_sd), dtype=np.float64), 0.0),
        None if s0 is None else np.where(inside, np.ascontiguousarray(to_numpy(s0)), np.float32(0.0)),
    )  # fmt: skip


def _without_rim(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the mask without its outer layer; all of it if nothing would be left.

    The border of the image is not a border of the brain.
    """
    inner = without_layer(np.pad(mask, 1, constant_values=True))[1:-1, 1:-1, 1:-1]
    return np.asarray(inner if inner.any() else mask)
