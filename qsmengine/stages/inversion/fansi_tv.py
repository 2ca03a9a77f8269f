"""Nonlinear total variation: TV regularisation with the data term on the phase (FANSI).

min_chi sum W^2 (1 - cos(r (D chi - field))) / r^2 + lambda || grad chi ||_1, where r = 2 pi gamma B0 TE is
the phase [rad] of 1 ppm at the effective echo time TE. Solved by ADMM with the splits grad chi and D chi, the
second in every voxel by Newton's method. For small phases the method equals `weighted_tv`, so lambda has the
same unit and meaning, also grows with the noise, and does not depend on TE and B0.

The result does not depend on whole turns of r field: single-echo phase may be wrapped, with TE its echo time,
and voxels whose field is wrong by whole turns of that phase do no harm. A true field of more than half a turn,
as around a calcification, is however taken for a smaller one. With the default TE of 2 ms, for unwrapped
fields, half a turn is 1.96 ppm (3 T).

Reference: Milovic et al. 2018, 10.1002/mrm.27073.
"""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.solvers.stopping import SolverCallback
from qsmengine.solvers.tv_admm import PhaseError
from qsmengine.stages.inversion.total_variation import (
    NoiseGainParams,
    PhaseTvParams,
    invert_tv,
    noisy_weight,
)
from qsmengine.stages.method import Method
from qsmengine.units import rad_per_ppm


class FansiTvParams(PhaseTvParams, NoiseGainParams):
    """Parameters of nonlinear total variation: those of `weighted_tv`, and the echo time."""


def fansi_tv(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: FansiTvParams,
    *,
    device: Device,
    weight: Array | None = None,
    noise: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Return the susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    `weight` (x, y, z), any unit, is best 1 / noise of the field; `noise` (x, y, z) [ppm] adapts lambda.
    `callback` receives the solver's status and may stop it.

    Raises
    ------
    InputError
        For a grid without field strength.
    """
    phase = PhaseError(rad_per_ppm(grid.required_field_strength, params.echo_time))
    mask = device.asarray(mask, bool)
    return invert_tv(
        local_field, mask, grid, params, phase,
        lam=noisy_weight(params.lam, params.noise_gain, noise, mask),
        device=device, weight=weight, callback=callback,
    )  # fmt: skip


METHODS = (
    Method(
        stage="inversion", name="fansi_tv", run=fansi_tv, params=FansiTvParams,
        inputs=("local_field", "mask", "weight?", "noise?"), outputs={"chi": "ppm"},
        summary="total variation with the data term on the phase (ADMM)",
        doi="10.1002/mrm.27073",
        bytes_per_voxel=150, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
