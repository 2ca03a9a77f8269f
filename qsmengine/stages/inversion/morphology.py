"""The morphology prior: susceptibility may jump where the magnitude has an edge."""

from __future__ import annotations

import numpy as np

from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.domain import Domain
from qsmengine.ops.faces import faces_within, faces_without, smooth_faces


def counted_faces(magnitude: Array | None, inside: Array, domain: Domain, grid: Grid, edges: float) -> Array:
    """Return the faces (see :mod:`qsmengine.ops.faces`) in the total variation, on the solver's grid.

    These are the faces within the mask, except for the fraction `edges` of them across which the root sum of
    squares of the magnitude (x, y, z, echo) changes most, and the faces outside the mask, but none on its
    surface. Without a magnitude no face within the mask is an edge. `inside` is the mask on the solver's grid.
    """
    if magnitude is None:
        return faces_within(inside) | faces_without(inside)
    device = domain.device
    image = device.zeros(magnitude.shape[:3])
    for echo in range(magnitude.shape[3]):
        part = device.asarray(magnitude[..., echo])
        image += part * part
    image = domain.insert(image ** np.float32(0.5), domain.extract(inside) > 0)
    return smooth_faces(image, inside, grid.voxel_size, edges) | faces_without(inside)
