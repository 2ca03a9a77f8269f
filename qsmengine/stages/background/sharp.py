"""SHARP: sophisticated harmonic artefact reduction with one sphere.

Fields of sources outside the mask are harmonic inside it, so h = f - S * f, with the mean over a sphere S,
is free of them wherever the whole sphere lies in the mask. There h is the local field convolved with
(delta - S), which is deconvolved by dividing by 1 - S^ where that is at least `threshold`.

Assumes that the field is valid in the whole mask, which shrinks by the sphere's radius.

Reference: Schweser et al. 2011, 10.1016/j.neuroimage.2010.10.070.
"""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.background.result import BackgroundResult
from qsmengine.stages.background.vsharp import VsharpParams, vsharp
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Mm, Params


class SharpParams(Params):
    """Parameters of SHARP."""

    radius: Mm = Field(
        6.0, gt=0, le=40, description="radius of the sphere [mm], at least the longest voxel edge"
    )
    threshold: float = Field(0.05, gt=0, lt=1, description="deconvolve where 1 - S^ is at least this")


def sharp(
    total_field: Array, mask: Array, grid: Grid, params: SharpParams, *, device: Device
) -> BackgroundResult:
    """Return the local field (x, y, z) [ppm] and its mask from the total field (x, y, z) [ppm] inside `mask`.

    SHARP is V-SHARP with a single radius.

    Raises
    ------
    InputError
        If the sphere does not fit into the mask.
    """
    radius = max(params.radius, *grid.voxel_size)
    single = VsharpParams(max_radius=radius, min_radius=radius, threshold=params.threshold)
    return vsharp(total_field, mask, grid, single, device=device)


METHODS = (
    Method(
        stage="background", name="sharp", run=sharp, params=SharpParams,
        inputs=("total_field", "mask"), outputs={"local_field": "ppm", "mask": "1"},
        summary="spherical mean values with one radius", doi="10.1016/j.neuroimage.2010.10.070",
        bytes_per_voxel=100, reach=lambda params: params.radius, linear=True,
    ),
)  # fmt: skip
