"""L1-QSM: total variation with the absolute error of the complex phase as data term.

min_chi sum W |exp(i r D chi) - exp(i r field)| / r + lambda || grad chi ||_1, where r = 2 pi gamma B0 TE is
the phase [rad] of 1 ppm at the effective echo time TE. For small phases the data term is W |D chi - field|,
so lambda [mm] does not depend on TE and B0, nor on the size of the field and its noise: both terms are of
first order. The influence of an inconsistent voxel (a vessel, an unwrapping error, a clipped echo) is limited
to its weight, however large its error, where a squared error would spread it as streaks.

Solved by ADMM with the splits grad chi and D chi. The paper's complex shrinkage and its split are not needed:
the optimal D chi + multiplier of a voxel for 2 |sin(r e / 2)| / r is found by Newton's method, which leaves one
multiplier where the paper has two. The result does not depend on whole turns of r field.

The defaults minimise the error of chi on virtual heads with 2 to 3 mm voxels (3 T and 7 T, axial and oblique),
both from the true local field with noise (SNR 100) and from V-SHARP's; without noise half of lambda is better.

Reference: Milovic et al. 2022, 10.1002/mrm.28957.
"""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.solvers.stopping import SolverCallback
from qsmengine.solvers.tv_admm import AbsolutePhaseError
from qsmengine.stages.inversion.total_variation import PhaseTvParams, invert_tv
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Mm, Mm2
from qsmengine.units import rad_per_ppm


class L1QsmParams(PhaseTvParams):
    """Parameters of L1-QSM; the penalties belong to a data term of first order."""

    lam: Mm = Field(0.08, gt=0, alias="lambda", description="weight of the total variation [mm]")
    mu_gradient: Mm2 = Field(80.0, gt=0, description="ADMM penalty of the gradient split [mm^2/ppm]")
    mu_data: float = Field(200.0, gt=0, description="ADMM penalty of the data split [1/ppm]")


def l1_qsm(
    local_field: Array,
    mask: Array,
    grid: Grid,
    params: L1QsmParams,
    *,
    device: Device,
    weight: Array | None = None,
    callback: SolverCallback | None = None,
) -> Array:
    """Return the susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm]; 0 outside `mask`.

    `weight` (x, y, z), any unit, is best 1 / noise of the field. `callback` receives the solver's
    status and may stop it.

    Raises
    ------
    InputError
        For a grid without field strength.
    """
    phase = AbsolutePhaseError(rad_per_ppm(grid.required_field_strength, params.echo_time))
    return invert_tv(
        local_field, mask, grid, params, phase,
        lam=params.lam, device=device, weight=weight, callback=callback,
    )  # fmt: skip


METHODS = (
    Method(
        stage="inversion", name="l1_qsm", run=l1_qsm, params=L1QsmParams,
        inputs=("local_field", "mask", "weight?"), outputs={"chi": "ppm"},
        summary="total variation with the absolute phase error (ADMM)",
        doi="10.1002/mrm.28957",
        bytes_per_voxel=150, reach=lambda params: params.margin, iterative=True,
    ),
)  # fmt: skip
