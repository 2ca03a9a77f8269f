"""Laplacian unwrapping: a smooth phase whose Laplacian is that of the true phase.

Where the phase changes by less than pi between neighbours, the step wrapped to -pi .. pi is the true step.
The 7-point Laplacian of the unwrapped phase is then known without unwrapping,

    L_i = sum over face neighbours j of i in the mask of wrap(phase_j - phase_i) / h_ij^2,

and the phase is the solution of Poisson's equation on a box around the mask. There are no paths, seeds or cuts,
but the method is not exact: the result does not differ from the wrapped phase by multiples of 2 pi. Steps
across the mask's surface are unknown and set to 0, so a harmonic phase is lost within the mask. This error acts
like a background field, most of which background removal removes, but a field fitted before contains it. Errors
of noisy steps spread as well. For accurate total fields use ROMEO.

The solution is unique up to a constant. It is chosen for the best agreement of result and wrapped phase (the
sum of exp(i (phase - result)) over the mask is real and positive), with medians of the echoes that fit a phase
linear in time and 0 at time 0. With one echo, or echo times that are multiples of the first, the medians do not
determine it, and the median of the first echo lies within pi of 0.

References: Schofield & Zhu 2003, 10.1364/OL.28.001194; Li et al. 2011, 10.1016/j.neuroimage.2010.11.088.
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import Device, array_module
from qsmengine.backend.fft import fast_shape
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.laplacian import WRAPPED_LAPLACIAN
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.domain import bounding_box
from qsmengine.ops.order_statistics import median
from qsmengine.ops.poisson import Boundary, PoissonSolver
from qsmengine.stages.echoes import check_series, checked_mask, echo_first, echo_last
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params
from qsmengine.units import TWO_PI

_TURN_PENALTY = 0.02
"""Cost of each turn away from the branch around 0, in turns of misfit."""


class LaplacianParams(Params):
    """Parameters of Laplacian unwrapping."""

    boundary: Boundary = Field(
        "neumann", description="condition on the box's faces: zero gradient, zero phase, or periodic"
    )
    margin: int = Field(
        8, ge=0, le=256, description="smallest distance between mask and box on every side [voxels]"
    )


def laplacian(
    phase: Array,
    mask: Array,
    echo_times: tuple[float, ...],
    grid: Grid,
    params: LaplacianParams,
    *,
    device: Device,
) -> Array:
    """Unwrap a multi-echo phase.

    Parameters
    ----------
    phase
        (x, y, z, echo) [rad], wrapped.
    mask
        (x, y, z).
    echo_times
        (echo,) [s].
    grid
        Geometry.
    params
        Parameters.
    device
        Where to compute.

    Returns
    -------
    Array
        (x, y, z, echo) [rad], 0 outside the mask (a view of echo-first memory).

    Raises
    ------
    InputError
        For shapes or echo times that do not match, or an empty mask.
    """
    times = check_series(grid, echo_times, phase=phase)
    wrapped = echo_first(phase, device)
    inside = checked_mask(mask, grid, device)
    unwrapped = device.empty(tuple(wrapped.shape))
    box = _Box(inside, grid, params, device)
    for before, after in zip(wrapped, unwrapped, strict=True):
        after[:] = box.solve(before)
    selected = inside > 0
    constants = [
        _best_constant(before[selected], after[selected])
        for before, after in zip(wrapped, unwrapped, strict=True)
    ]
    medians = [median(echo[selected]) + c for echo, c in zip(unwrapped, constants, strict=True)]
    for echo, turns in enumerate(_turns(medians, times)):
        constant = np.float32(constants[echo] + TWO_PI * turns)
        unwrapped[echo] = device.xp.where(selected, unwrapped[echo] + constant, np.float32(0))
    return echo_last(unwrapped)


def _best_constant(wrapped: Array, values: Array) -> float:
    """Return the angle of the sum of exp(i (wrapped - values))."""
    xp = array_module(values)
    difference = wrapped - values
    re, im = (float(part.sum(dtype=np.float64)) for part in (xp.cos(difference), xp.sin(difference)))
    return math.atan2(im, re)


def _turns(medians: list[float], times: tuple[float, ...]) -> list[int]:
    """Return the turns to add to each echo for medians linear in time and 0 at time 0."""
    centred = -round(medians[0] / TWO_PI)
    found: dict[float, list[int]] = {}
    for extra in (0, 1, -1, 2, -2):
        slope = (medians[0] + TWO_PI * (centred + extra)) / times[0]
        missing = [(slope * time - value) / TWO_PI for value, time in zip(medians, times, strict=True)]
        misfit = sum(abs(n - round(n)) for n in missing) / len(times) + _TURN_PENALTY * abs(extra)
        found.setdefault(misfit, [round(n) for n in missing])
    return found[min(found)]


class _Box:
    """Box around the mask on which Poisson's equation is solved."""

    def __init__(self, inside: Array, grid: Grid, params: LaplacianParams, device: Device) -> None:
        start, stop = bounding_box(inside > 0)
        self._inside, self._grid, self._device = inside, grid, device
        nx, ny, nz = (b - a + 2 * params.margin for a, b in zip(start, stop, strict=True))
        self._shape = fast_shape((nx, ny, nz)) if params.margin else (nx, ny, nz)
        self._in_image = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        offsets = [(n - b + a) // 2 for a, b, n in zip(start, stop, self._shape, strict=True)]
        self._in_box = tuple(slice(o, o + b - a) for a, b, o in zip(start, stop, offsets, strict=True))
        self._solver = PoissonSolver(params.boundary, self._shape, grid.voxel_size, device)

    def solve(self, wrapped: Array) -> Array:
        """Return the phase (x, y, z) of one echo up to a constant; 0 outside the mask's bounding box."""
        image = self._device.empty(self._grid.shape)
        weights = {f"w{axis}": 1.0 / h**2 for axis, h in zip("xyz", self._grid.voxel_size, strict=True)}
        launch(WRAPPED_LAPLACIAN, self._device, phase=wrapped, mask=self._inside, laplacian=image, **weights)
        source = self._device.zeros(self._shape)
        source[self._in_box] = image[self._in_image]
        solution = self._solver.solve(source)
        image[:] = 0
        image[self._in_image] = solution[self._in_box]
        return image


METHODS = (
    Method(
        stage="unwrap", name="laplacian", run=laplacian, params=LaplacianParams,
        inputs=("phase", "mask", "echo_times"), outputs={"unwrapped": "rad"},
        summary="Poisson's equation for the Laplacian of the wrapped phase; not exact to 2 pi",
        doi="10.1364/OL.28.001194", bytes_per_voxel=96, bytes_per_volume=4,
    ),
)  # fmt: skip
