"""The morphology prior: susceptibility may jump where the magnitude has an edge."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.pieces import in_pieces
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.domain import Domain
from qsmengine.ops.faces import faces_within, faces_without, smooth_faces
from qsmengine.ops.order_statistics import median
from qsmengine.stages.echoes import echo_first

DARKEST = 0.05
"""Magnitude below which changes do not count, as a share of the median in the mask."""


def counted_faces(magnitude: Array | None, inside: Array, domain: Domain, grid: Grid, edges: float) -> Array:
    """Return the faces (see :mod:`qsmengine.ops.faces`) in the total variation, on the solver's grid.

    These are the faces within the mask, except for the fraction `edges` of them across which the magnitude
    (x, y, z, echo) changes most (:func:`log_magnitude`), and the faces outside the mask, but none on its
    surface. Without a magnitude no face within the mask is an edge. `inside` is the mask on the solver's grid.
    """
    if magnitude is None:
        return faces_within(inside) | faces_without(inside)
    return faces_of_image(log_magnitude(magnitude, inside, domain), inside, grid, edges)


def log_magnitude(magnitude: Array, inside: Array, domain: Domain) -> Array:
    """Return the logarithm of the sum of squares of the magnitude (x, y, z, echo) on the solver's grid.

    Its differences are relative changes, so that the sensitivity of the coils does not matter. Outside the mask
    `inside`, on the same grid, it is 0.
    """
    device, xp = domain.device, domain.device.xp
    image = device.empty(magnitude.shape[:3])

    def add(image: Array, first: Array, *others: Array) -> None:
        xp.multiply(first, first, out=image)
        for other in others:
            image += other * other

    in_pieces(add, (image, *echo_first(magnitude, device)), device)
    mask = device.zeros(image.shape, bool)
    mask[domain.image_box] = inside[domain.box] > 0
    floor = DARKEST**2 * median(image[mask], overwrite=True) if bool(mask.any()) else 0.0

    def take_logarithm(image: Array) -> None:
        xp.maximum(image, np.float32(floor), out=image)
        xp.log(image, out=image)

    if floor > 0:
        in_pieces(take_logarithm, (image,), device)
    return domain.insert(image, mask)


def faces_of_image(image: Array, inside: Array, grid: Grid, edges: float) -> Array:
    """Return all faces outside the mask and those within it, without the fraction `edges` of steepest ones.

    `image` and the mask `inside` on the solver's grid.
    """
    return smooth_faces(image, inside, grid.voxel_size, edges) | faces_without(inside)
