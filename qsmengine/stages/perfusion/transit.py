"""Least-squares fit of the exponential model to curves, from the best point of a grid of starts.

Flow F, mean transit time M and delay d are in frames here. log M and d may have Gaussian priors with centres of
each voxel. With n frames, the mode for noise of unknown size minimises

    misfit * exp(held (log M - middle)^2 + tied (d - arrival)^2)

where `held` and `tied` are the inverse variances of the priors over the degrees of freedom n - 3.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.transit import EXPONENTIAL_TRANSIT
from qsmengine.data import Array
from qsmengine.stages.params import Length
from qsmengine.stages.perfusion.curves import Curves
from qsmengine.stages.perfusion.maps import MapParams
from qsmengine.stages.perfusion.transform import FloatArray

UNKNOWNS = 3
_TRANSITS = (3.0, 8.0)
_DELAY_STEP = 2.5


class TransitParams(MapParams):
    """Parameters that both models share."""

    earliest: float = Field(-10.0, ge=-60, le=0, description="earliest delay [s]")
    latest: float = Field(15.0, ge=0, le=60, description="latest delay [s]")
    shortest: float = Field(0.5, gt=0, le=10, description="shortest mean transit time [s]")
    longest: float = Field(60.0, gt=0, le=600, description="longest mean transit time [s]")
    iterations: int = Field(20, ge=1, le=200, description="steps of the fit")
    block: Length = Field(6.0, gt=0, description="edge of the blocks that give the priors' centres [mm]")
    transit_sd: float = Field(
        0.4, ge=0, le=5, description="standard deviation of the prior of log M; 0: no prior"
    )
    delay_sd: float = Field(
        1.0, ge=0, le=60, description="standard deviation of the prior of the delay [s]; 0: no prior"
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.shortest >= self.longest:
            raise ValueError(f"shortest ({self.shortest:g}) must be below longest ({self.longest:g})")
        return self


class Prior(NamedTuple):
    """Gaussian priors of log M and d, in frames.

    ``middle`` of log M and ``arrival`` of d (voxel,); ``held`` and ``tied``, their inverse variances over the
    degrees of freedom; 0: no prior.
    """

    middle: Array
    arrival: Array
    held: float = 0.0
    tied: float = 0.0


def no_prior(voxels: int, device: Device) -> Prior:
    """Return priors (voxel,) that do not act."""
    return Prior(device.zeros((voxels,)), device.zeros((voxels,)))


class Fitted(NamedTuple):
    """Results of a fit (voxel,), in units of frames: flow, transit, delay, their variances for unit noise."""

    flow: Array
    transit: Array
    delay: Array
    misfit: Array
    power: Array
    flow_variance: Array
    transit_variance: Array
    delay_variance: Array


def fit_exponential(
    curves: Curves, artery: FloatArray, params: TransitParams, corner: float, prior: Prior, device: Device
) -> Fitted:
    """Fit F, M and d to every curve; `corner` is the part of the last sample that the integral leaves out."""
    step = curves.step
    margin = math.ceil(max(-params.earliest, params.latest) / step) + 2
    delays = np.arange(params.earliest, params.latest + 1e-9, _DELAY_STEP)
    transits = np.clip(_TRANSITS, params.shortest, params.longest)
    starts = np.stack(np.meshgrid(transits, delays, indexing="ij"), axis=-1).reshape(-1, 2) / step
    found = Fitted(*(device.empty((curves.voxels,)) for _ in Fitted._fields))
    launch(
        EXPONENTIAL_TRANSIT,
        device,
        change=curves.planes.array,
        mask=curves.mask,
        nodes=device.asarray(spline_nodes(artery, margin)),
        starts=device.asarray(starts),
        **found._asdict(),
        **prior._asdict(),
        corner=corner,
        shortest=params.shortest / step,
        longest=params.longest / step,
        earliest=params.earliest / step,
        latest=params.latest / step,
        margin=margin,
        iterations=params.iterations,
    )
    return found


def spline_nodes(curve: FloatArray, margin: int) -> FloatArray:
    """Return values and slopes (node, 2) of the natural cubic spline through a curve (frame,).

    Node k is frame k - `margin`. The curve is 0 before its first frame and constant after its last.
    """
    values = np.concatenate([np.zeros(margin), curve, np.full(margin + 2, curve[-1])])
    count = values.size
    matrix = 4.0 * np.eye(count) + np.eye(count, k=1) + np.eye(count, k=-1)
    matrix[0, 0] = matrix[-1, -1] = 2.0
    padded = np.pad(values, 1, mode="edge")
    return np.stack([values, np.linalg.solve(matrix, 3.0 * (padded[2:] - padded[:-2]))], axis=1)
