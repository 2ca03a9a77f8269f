"""Screening for lesions of white matter in a FLAIR image. It replaces no reading of the image.

The image is divided by its smooth receive field: the exponential of a sum of Legendre polynomials, fitted to
the logarithm of the image in normal-appearing white matter. With the median m and the robust deviation s there,
and the level g of the cortex, its upper quartile, a voxel starts a lesion if

    (I - g) / s > 3,

and its neighbours belong to it if (I - m) / s > 3. Mixtures of white matter, cortex and fluid stay below g.
Lesions start in the network's white matter, a voxel away from cortex and ventricles; they may reach the
ventricles. What starts with less than 3 mm^3 or three voxels is dropped. An image in which the cortex is not
brighter than white matter, or the ventricles are not darker than it, is no FLAIR image and is refused.

Misses lesions that are no brighter than the cortex, those in the cortex, and small ones; finds bright flow and
other artefacts in white matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, Vector3
from qsmengine.ops.domain import bounding_box
from qsmengine.ops.legendre import LegendreBasis, spread_voxels
from qsmengine.ops.morphology import dilated, eroded
from qsmengine.ops.noise_level import NORMAL
from qsmengine.ops.transforms import Volume
from qsmengine.stages.anatomy.network import CLASSES
from qsmengine.stages.anatomy.structures import Segmentation

WHITE = CLASSES.index("white_matter")
CORTEX = CLASSES.index("cortex")
VENTRICLES = tuple(
    CLASSES.index(f"{name}_ventricle") for name in ("lateral", "inferior_lateral", "third", "fourth")
)
HIGH = 3.0
"""Least distance from cortex where a lesion starts, and from white matter around it [standard deviation]."""
LEVEL = 75.0
"""Percentile of the cortex that is its level: half of its voxels contain fluid or white matter."""
SMALLEST, FEWEST = 3.0, 3
"""Least volume of a lesion [mm^3], and its least number of voxels: single ones are noise."""
DEEP = 2.0
"""Distance of normal-appearing white matter from other classes [mm]."""
ORDER, ROUNDS, OUTLIER = 4, 3, 2.5
"""Order of the field, number of fits, and residual of voxels left out next [standard deviation]."""
VOXELS = 40_000
"""Most voxels to which the field is fitted."""
LEAST = 1000
"""Least number of voxels of normal-appearing white matter, and of cortex."""

Mask = npt.NDArray[np.bool_]


class Screening(NamedTuple):
    """Candidates for lesions (x, y, z) bool on the image's grid, their volume [mL] and their number."""

    mask: Mask
    load: float
    number: int


def screen(flair: Volume, grid: Grid, found: Segmentation, device: Device) -> Screening:
    """Find lesions of white matter in `flair` (x, y, z), any unit, on the grid of the T1-weighted image.

    Raises
    ------
    InputError
        For an image with too little white matter or cortex, one that is not positive in white matter, and one
        of another contrast.
    """
    box, part = _box(found.brain, grid)
    image = np.ascontiguousarray(flair[box])
    white, cortex, ventricles = (
        found.fraction(numbers, part) > 0.5 for numbers in ((WHITE,), (CORTEX,), VENTRICLES)
    )
    normal = _near(eroded, white, DEEP, part, device)
    for name, where in (("white matter", normal), ("cortex", cortex)):
        if where.sum() < LEAST:
            raise InputError(f"{where.sum()} voxels of {name}; screening needs {LEAST}", field="flair")
    even = image / _field(image, normal, device)
    middle = float(np.median(even[normal]))
    spread = NORMAL * float(np.median(np.abs(even[normal] - middle)))
    level = float(np.percentile(even[cortex], LEVEL))
    _check_contrast(level, middle, even[ventricles])
    layer = max(part.voxel_size)
    apart = white & ~_near(dilated, cortex | ventricles, layer, part, device)
    starts = _large(apart & (even > level + HIGH * spread), part)
    around = _near(dilated, starts, layer, part, device) & white & (even > middle + HIGH * spread)
    mask = np.zeros(grid.shape, bool)
    mask[box] = starts | around
    return Screening(mask, float(mask.sum()) * grid.voxel_volume / 1000, _components(mask)[1])


def _check_contrast(cortex: float, white: float, ventricles: Volume) -> None:
    """Raise InputError unless the cortex is brighter than white matter and the ventricles are darker."""
    if not cortex > white:
        raise InputError("the cortex is not brighter than white matter; a FLAIR image is needed", field="flair")
    if len(ventricles) and not np.median(ventricles) < white:
        raise InputError("the ventricles are not dark; a FLAIR image is needed", field="flair")


def _box(brain: Mask, grid: Grid) -> tuple[tuple[slice, ...], Grid]:
    """Return the smallest box around the brain mask, and its grid."""
    box = tuple(slice(int(a), int(b)) for a, b in zip(*bounding_box(brain), strict=True))
    return box, grid.part(box)


def _near(
    operation: Callable[[Array, float, Vector3, Device], Array],
    mask: Mask,
    radius: float,
    grid: Grid,
    device: Device,
) -> Mask:
    """Return `mask` eroded or dilated by `radius` [mm]."""
    return np.asarray(to_numpy(operation(device.asarray(mask, bool), radius, grid.voxel_size, device)) != 0)


def _field(flair: Volume, normal: Mask, device: Device) -> Volume:
    """Return the receive field (x, y, z) from `normal` white matter, without lesions and fluid."""
    voxels = spread_voxels(normal, VOXELS)
    values = flair[voxels].astype(np.float64)
    if not np.median(values) > 0:
        raise InputError("is 0 in white matter", field="flair")
    basis = LegendreBasis.over(normal, ORDER)
    columns = basis.columns(voxels).T
    log = np.log(np.maximum(values, 1e-3 * np.median(values)))
    rest = log - np.median(log)  # leaves out fluid, in the network's white matter, before the first fit
    for _ in range(ROUNDS):
        limit = OUTLIER * NORMAL * float(np.median(np.abs(rest)))
        kept = np.abs(rest) <= max(limit, 1e-9)
        coefficients = np.asarray(np.linalg.lstsq(columns[kept], log[kept], rcond=None)[0], dtype=np.float64)
        rest = log - columns @ coefficients
    field = np.clip(to_numpy(basis.image(coefficients, device)), log.min(), log.max())
    return np.asarray(np.exp(field), dtype=np.float32)


def _large(mask: Mask, grid: Grid) -> Mask:
    """Return the components of at least `SMALLEST` and `FEWEST`."""
    parts, _ = _components(mask)
    large = np.bincount(parts.ravel()) >= max(SMALLEST / grid.voxel_volume, FEWEST)
    large[0] = False
    return np.asarray(large[parts])


def _components(mask: Mask) -> tuple[npt.NDArray[np.intp], int]:
    """Return numbered components, joined across faces, edges or corners, and how many they are."""
    from scipy.ndimage import label

    parts, number = label(mask, np.ones((3, 3, 3)))
    return np.asarray(parts, dtype=np.intp), int(number)
