"""Tissue of about one susceptibility: fluid, voxels that contain fluid and tissue, and the brain's surface.

An inversion of the total field cannot separate some patterns of chi from background. Tissue that is known to be
uniform excludes them. Which voxels these are follows from the decay of the magnitude, relative to its median
in the mask (:mod:`qsmengine.stages.single_step.fluid`). The limits follow from published R2* (Peters et al.
2007, 10.1016/j.mri.2007.02.014); docs/explanation/tissue-limits.md derives them.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Vector3
from qsmengine.ops.morphology import without_layer
from qsmengine.stages.single_step.fluid import relative_decay, wide_fluid

MIXED = 0.5
"""Largest relative decay of voxels that contain fluid and tissue."""
CORTEX = 0.8
"""Largest relative decay that is taken for cortex: more is white matter or iron."""
VEIN = 1.2
"""Relative decay at the surface above which a voxel may be a vein."""


def tissue_regions(
    magnitude: Array | None, inside: Array, fluid_decay: float, voxel_size: Vector3, device: Device
) -> dict[str, Array]:
    """Return the voxels (x, y, z) bool of each tissue, without common voxels and not empty.

    - "fluid": relative decay below `fluid_decay`.
    - "mixed": from there to 0.5.
    - "rim": two outermost layers of the mask with a decay from 0.5 to 1.2, and cortex everywhere (0.5 to 0.8),
      which determines their mean.

    Without fluid, and without two echoes, none is known.

    Parameters
    ----------
    magnitude
        (x, y, z, echo), any unit, or None.
    inside
        (x, y, z) bool.
    fluid_decay
        Largest relative decay of fluid.
    voxel_size, device
        Voxel edges [mm], and the device of the result.
    """
    decay = None if magnitude is None else relative_decay(magnitude, inside, device)
    fluid = None if decay is None else wide_fluid(decay, fluid_decay, voxel_size, device)
    if decay is None or fluid is None:
        return {}
    rim = inside & ~without_layer(without_layer(inside))
    mixed = max(np.float32(MIXED), np.float32(fluid_decay))
    surface = (rim & (decay < np.float32(VEIN))) | (decay < np.float32(CORTEX))
    regions = {"fluid": fluid, "mixed": (decay < mixed) & ~fluid, "rim": surface & (decay >= mixed)}
    return {name: region for name, region in regions.items() if bool(region.any())}
