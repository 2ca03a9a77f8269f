"""Warning if susceptibility seems to have the wrong sign, as some scanners' phase conventions cause.

The tissue with the fastest relaxation deep in the brain is rich in iron (pallidum, red nucleus, veins) and
paramagnetic, so the mean chi of the voxels with the highest R2* is above that of the others. Voxels near the
rim of the mask, where R2* is high because of air, are excluded.
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.ops.morphology import eroded
from qsmengine.ops.order_statistics import percentile
from qsmengine.pipeline.run.results import RunResult

_DEPTH = 12.0
"""Minimum distance from the rim of the mask [mm]."""
_SPACING = 3.0
"""Spacing of the sampled voxels [mm]."""
_HIGHEST = 3.0
"""Percentage of voxels that count as those with the highest R2*."""
_LEAST = 60
"""Smallest number of voxels with the highest R2* for a conclusion; a head has about 90 at 6 mm."""


def sign_notes(result: RunResult) -> list[str]:
    """Return a note if the voxels with the highest R2* deep in the mask are diamagnetic, else none."""
    contrast = iron_contrast(result)
    if contrast is None or contrast >= 0:
        return []
    found = f"the deep voxels with the highest R2* are {-contrast:.3f} ppm below the others"
    return [f"chi: {found}, but iron would be above: the phase may need input.phase_sign=-1"]


def iron_contrast(result: RunResult) -> float | None:
    """Return mean chi [ppm] of the deep voxels with the highest R2* minus that of the others.

    None without R2*, with too few deep voxels, or if the difference is below three standard errors, or below
    the standard deviation of the others: errors of motion and wraps are correlated between voxels, and raise
    R2* and chi alike.
    """
    pair = deep_values(result)
    if pair is None:
        return None
    chi, r2star = pair
    high = r2star > percentile(r2star, 100 - _HIGHEST)
    fast, others = chi[high], chi[~high]
    difference = float(fast.mean(dtype=np.float64) - others.mean(dtype=np.float64))
    error = float(fast.std(dtype=np.float64)) / math.sqrt(len(fast))
    spread = float(others.std(dtype=np.float64))
    return difference if abs(difference) > max(3 * error, spread) else None


def deep_values(result: RunResult) -> tuple[np.ndarray, np.ndarray] | None:
    """Return chi [ppm] and R2* [1/s] (voxel,) of voxels sampled deep in the mask.

    None without R2*, or with too few voxels for a conclusion.
    """
    if not {"chi", "r2star", "local_mask"} <= set(result.maps):
        return None
    grid = result.grid.replace(length_scale=result.facts.get("length_scale"))
    steps = [max(1, round(_SPACING / h)) for h in grid.voxel_size]
    maps, part = result.within_mask(), result.mask_part
    apart = tuple(slice(-side.start % step, None, step) for side, step in zip(part, steps, strict=True))
    chi, r2star, mask = (to_numpy(maps[name][apart]) for name in ("chi", "r2star", "local_mask"))
    deep = _deep(mask, [h * step for h, step in zip(grid.voxel_size, steps, strict=True)])
    deep &= np.isfinite(r2star) & (r2star > 0)
    if np.count_nonzero(deep) < _LEAST * 100 / _HIGHEST:
        return None
    return chi[deep], r2star[deep]


def _deep(mask: np.ndarray, spacing: list[float]) -> np.ndarray:
    x, y, z = spacing
    return np.asarray(eroded(np.pad(mask, 1), _DEPTH, (x, y, z), cpu()))[1:-1, 1:-1, 1:-1]
