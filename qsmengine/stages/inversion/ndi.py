"""Nonlinear dipole inversion (NDI): gradient descent on the phase, stopped early.

min_chi sum W^2 (1 - cos(r (D chi - field))) / r^2 + alpha / 2 || chi ||^2, where r = 2 pi gamma B0 TE is
the phase [rad] of 1 ppm at the effective echo time TE. The step is
chi <- chi - tau (D W^2 sin(r D chi - r field) / r + alpha chi), from chi = 0. For small phases this is the
linear weighted fit, so alpha and tau have no unit and do not depend on TE and B0.

The result does not depend on whole turns of r field, so unwrapping errors of a multi-echo field do little harm,
and single-echo phase may be wrapped, with TE its echo time. The descent starts at chi = 0 and finds the right
turn where the local phase is below half a turn. With the default TE of 2 ms, for unwrapped fields, half a turn
is 1.96 ppm (3 T); calcifications exceed the half turn of longer TE.

The number of steps is the only prior: bins of k-space converge in the order of W^2 D^2, noise last.

Reference: Polak et al. 2020, 10.1002/nbm.4271.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.replay import Replay
from qsmengine.backend.signatures.ndi import NDI_RESIDUAL, NDI_UPDATE
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain
from qsmengine.solvers.loop import iterate
from qsmengine.solvers.stopping import SolverCallback, Stopping
from qsmengine.stages.inversion.setup import inside_weight
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Margin, Params
from qsmengine.units import rad_per_ppm


class NdiParams(Params):
    """Parameters of nonlinear dipole inversion."""

    echo_time: float = Field(0.002, gt=0, description="effective echo time of the phase model [s]")
    alpha: float = Field(1e-5, ge=0, description="weight of the squared norm of chi")
    step: float = Field(
        4.0, gt=0, lt=4.5, description="step size tau, for weights of at most 1; unstable at 9/2"
    )
    iterations: int = Field(100, ge=1, description="iteration limit, which regularises")
    tolerance: float = Field(1e-3, ge=0, description="stop when the relative change of chi is smaller")
    margin: Margin = 40.0


def ndi(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: NdiParams,
    *,
    device: Device,
    weight: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Return the susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    `weight` (x, y, z), any unit, is best 1 / noise of the field; it is scaled to a maximum of 1,
    which keeps the step stable. `callback` receives the solver's status and may stop it.

    Raises
    ------
    InputError
        For a grid without field strength.
    """
    radians = rad_per_ppm(grid.required_field_strength, params.echo_time)
    mask = device.asarray(mask, bool)
    domain = Domain.for_kernel(mask, grid, params.margin, device)
    weight2 = inside_weight(domain, mask, weight, scale="largest")
    weight2 *= weight2
    field = domain.insert(local_field, mask)
    fft = RealFFT(domain.shape, device)
    response = dipole_response(domain.shape, grid.voxel_size, grid.b0_direction, device)
    spectrum = device.zeros(fft.spectrum_shape, np.complex64)
    residual = device.empty(fft.spectrum_shape, np.complex64)
    image = device.zeros(fft.shape)
    replay = Replay(device)

    def step(turn: int) -> None:  # noqa: ARG001  (every turn is the same)
        launch(NDI_RESIDUAL, device, ax=image, f=field, w2=weight2, radians=radians)
        fft.forward(image, residual)
        launch(
            NDI_UPDATE, device, x=spectrum, residual=residual, response=response, step=params.step,
            alpha=params.alpha, scale=fft.scale,
        )  # fmt: skip
        fft.inverse(residual, image, scaled=False)

    iterate(
        lambda: replay(step),
        lambda: spectrum,
        Stopping(params.iterations, params.tolerance, callback=callback),
    )
    chi = fft.inverse(spectrum, image)
    result: Array = device.xp.where(mask, domain.extract(chi), np.float32(0))
    return result


METHODS = (
    Method(
        stage="inversion", name="ndi", run=ndi, params=NdiParams,
        inputs=("local_field", "mask", "weight?"), outputs={"chi": "ppm"},
        summary="nonlinear dipole inversion, stopped early",
        doi="10.1002/nbm.4271",
        bytes_per_voxel=100, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
