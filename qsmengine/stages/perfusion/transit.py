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

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.transit import TRANSIT_FIT
from qsmengine.data import Array
from qsmengine.stages.params import Field, Length, model_validator
from qsmengine.stages.perfusion.curves import Curves
from qsmengine.stages.perfusion.maps import MapParams
from qsmengine.stages.perfusion.residue import Mixture, Residue, Rule, Table, curve_table
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


def fit_transit(
    curves: Curves,
    artery: FloatArray,
    params: TransitParams,
    residue: Residue | Mixture,
    rule: Rule,
    prior: Prior,
    device: Device,
) -> Fitted:
    """Fit F, M and d of residue functions of one shape to every curve."""
    step = curves.step
    transits = params.shortest / step, params.longest / step
    table = curve_table(artery, residue, rule, transits, (params.earliest / step, params.latest / step))
    found = Fitted(*(device.empty((curves.voxels,)) for _ in Fitted._fields))
    launch(
        TRANSIT_FIT,
        device,
        change=curves.planes.array,
        mask=curves.mask,
        nodes=device.asarray(table.nodes),
        starts=device.asarray(_starts(table, params, step), np.int32),
        **found._asdict(),
        **prior._asdict(),
        lowest=table.lowest,
        width=table.width,
        shortest=transits[0],
        longest=transits[1],
        earliest=params.earliest / step,
        latest=params.latest / step,
        margin=table.margin,
        iterations=params.iterations,
    )
    return found


def _starts(table: Table, params: TransitParams, step: float) -> FloatArray:
    """Return rows of the table and delays in whole frames (start, 2)."""
    rows = [round((math.log(transit / step) - table.lowest) / table.width) for transit in _TRANSITS]
    every = max(1, round(_DELAY_STEP / step))
    delays = np.arange(math.ceil(params.earliest / step), params.latest / step + 1e-9, every)
    return np.stack(
        np.meshgrid(np.clip(rows, 0, len(table.nodes) - 1), delays, indexing="ij"), axis=-1
    ).reshape(-1, 2)
