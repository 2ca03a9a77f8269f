"""Surfaces of deep grey matter, refined by the intensities of the image.

The network's labels of drawn heads are too large, and those of atrophied structures reach into fluid. The image
itself says where each surface lies. The prior p_k of class k (a structure, white matter, cortex, ventral
diencephalon, or fluid) is its label, smoothed by a Gaussian of `BLUR`, so that surfaces move by 1 to 2 mm at
most. A voxel consists of two parts, drawn from the classes independently. With the local mean m_k of each class
around the voxel and the standard deviation s_k of its intensities, the intensity I has the density

    p(I) = sum over k of p_k^2 N(I; m_k, s_k) + sum over k < l of 2 p_k p_l M(I; m_k, m_l, s_kl),
    M(I; a, b, s) = integral over v in 0 .. 1 of N(I; v b + (1 - v) a, s).

Where the network sees white matter, darker tissue such as claustrum and lesions is possible, too: below the
mean m of white matter c / m is added to its density. The fraction of a structure is its expectation; the label
is that of the smoothed fractions. Means come from voxels deep inside each class, without fluid and outliers.

Classes whose means differ from that of the network's label by less than `CONTRAST` standard deviations are not
separated: there the network's surface stays. Assumes intensities that are even within about `NEAR` inside each
class.

References: Shattuck et al. 2001, 10.1006/nimg.2000.0730; Tohka et al. 2004, 10.1016/j.neuroimage.2004.05.007
(mixtures).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.noise_level import NORMAL
from qsmengine.ops.transforms import Volume
from qsmengine.stages.anatomy.mixtures import mixture, normal
from qsmengine.stages.anatomy.network import CLASSES

BLUR = 0.8
"""Standard deviation of the network's surfaces [mm]."""
DARKER = 2.0
"""Density c of darker tissue in the network's white matter [1 / mean of white matter]."""
SMOOTHING = 0.5
"""Standard deviation of the Gaussian that smooths fractions before labels are chosen [mm]."""
NEAR = 5.0
"""Standard deviation of the Gaussian of local means [mm]."""
CONTRAST = 1.5
"""Least difference of two means that are separated [standard deviation]."""
LEAST_PRIOR = 0.02
"""Least probability of a second class in the voxels that are refined."""
DEEP = 0.975
"""Smoothed label of voxels deep inside a class."""
PURE = 0.9
"""Fraction of a tissue in voxels that enter the means of white matter and cortex."""
WET = 0.05
"""Largest fraction of fluid in voxels that enter the means."""
OUTLIER = 2.5
"""Largest distance from the median of a class in its means [standard deviation]."""
LARGEST_SPREAD = 2.0
"""Largest standard deviation of a class, relative to that of white matter."""
SMALLEST_SPREAD = 0.003
"""Smallest standard deviation of white matter, relative to its mean."""
FEWEST = 30
"""Least number of voxels for a mean."""
TINY = 1e-12
"""Density, relative to that of one standard deviation, below which no class fits."""
CANDIDATES = 3
"""Classes that are considered in each voxel."""
SURFACE = 0.2
"""Least prior of both classes where the share of a surface with contrast is counted."""

FLUID, WHITE, CORTEX, VENTRAL = range(4)
SURROUNDINGS = (
    ("background", "lateral_ventricle", "inferior_lateral_ventricle", "third_ventricle", "fourth_ventricle"),
    ("white_matter", "cerebellar_white_matter"),
    ("cortex", "cerebellar_cortex"),
    ("ventral_diencephalon", "brain_stem"),
)
"""Classes of the network around the structures, by their number here; structures follow."""


class Tissues(NamedTuple):
    """Image without its receive field (0: outside the brain mask), fractions of tissues; each (x, y, z)."""

    image: Volume
    gm: Volume
    wm: Volume
    csf: Volume


class Refined(NamedTuple):
    """Fractions (x, y, z, structure) [1], labels, and the share of each structure's surface with contrast [1].

    `labels` (x, y, z) is the number of the structure that covers most of each voxel, -1 elsewhere.
    """

    fractions: Volume
    labels: npt.NDArray[np.intp]
    contrast: FloatArray


class _Voxels(NamedTuple):
    """Voxels near surfaces (voxel,): places, intensity, the network's class, prior (class, voxel)."""

    places: tuple[npt.NDArray[np.intp], ...]
    image: FloatArray
    label: npt.NDArray[np.intp]
    prior: FloatArray


class _Levels(NamedTuple):
    """Local mean (class, voxel) and standard deviation (class,) of the classes."""

    mean: FloatArray
    spread: FloatArray


def surroundings(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the number in `SURROUNDINGS` of the network's classes (x, y, z); `FLUID` for structures."""
    lookup = np.zeros(len(CLASSES), np.uint8)
    for number, names in enumerate(SURROUNDINGS):
        lookup[[CLASSES.index(name) for name in names]] = number
    return np.asarray(lookup[classes])


def refine(fractions: Volume, around: npt.NDArray[np.uint8], tissues: Tissues, grid: Grid) -> Refined:
    """Return the fractions of structures with surfaces where the image has them.

    Parameters
    ----------
    fractions
        (x, y, z, structure): fractions by the network's labels.
    around
        (x, y, z) number in `SURROUNDINGS` of voxels outside the structures.
    tissues
        Image and tissues.
    grid
        Geometry.
    """
    wet = tissues.csf > 0.5
    before = np.where(wet[..., None], np.float32(0), fractions)
    label = np.where(before.sum(axis=3) >= 0.5, before.argmax(axis=3) + len(SURROUNDINGS), around)
    label[wet] = FLUID
    count = len(SURROUNDINGS) + fractions.shape[3]
    smooth = np.stack([_smoothed((label == k).astype(np.float32), BLUR, grid) for k in range(count)])
    near = _near_surfaces(smooth) & (tissues.image > 0) & ~wet
    voxels = _Voxels(
        np.nonzero(near),
        tissues.image[near].astype(np.float64),
        label[near],
        smooth[:, near].astype(np.float64),
    )
    levels = _levels(label, smooth, tissues, voxels.places, grid)
    found, decided = _expected(voxels, levels)
    after = before.copy()
    places = tuple(axis[decided] for axis in voxels.places)
    after[places] = found[len(SURROUNDINGS) :, decided].T
    return Refined(after, _labels(before, after, grid), _shares(voxels, levels))


def _labels(before: Volume, after: Volume, grid: Grid) -> npt.NDArray[np.intp]:
    """Return the structure (x, y, z) of most of each voxel by smoothed fractions, where they have changed."""
    changed = _smoothed((before != after).any(axis=3).astype(np.float32), SMOOTHING, grid) > 0
    chosen = np.stack([_smoothed(after[..., k], SMOOTHING, grid) for k in range(after.shape[3])], axis=3)
    chosen = np.where(changed[..., None], chosen, before)
    return np.where(chosen.sum(axis=3) >= 0.5, chosen.argmax(axis=3), -1)


def _smoothed(image: Volume, sigma: float, grid: Grid) -> Volume:
    """Return `image` (x, y, z), smoothed by a Gaussian of standard deviation `sigma` [mm]."""
    from scipy.ndimage import gaussian_filter

    out = np.zeros(image.shape, np.float32)
    axes = [np.flatnonzero(image.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if not len(axes[0]):
        return out
    width = sigma / np.asarray(grid.voxel_edges)
    margin = np.ceil(3 * width).astype(int) + 1
    box = tuple(slice(max(0, a[0] - m), a[-1] + m + 1) for a, m in zip(axes, margin, strict=True))
    out[box] = gaussian_filter(image[box], width, truncate=3.0, mode="nearest")
    return out


def _near_surfaces(smooth: Volume) -> npt.NDArray[np.bool_]:
    """Return the voxels (x, y, z) in which a structure and another class are possible."""
    structures = smooth[len(SURROUNDINGS) :]
    possible = structures.max(axis=0) > LEAST_PRIOR
    return np.asarray(possible & (smooth.max(axis=0) < 1 - LEAST_PRIOR))


def _levels(
    label: npt.NDArray[np.intp],
    smooth: Volume,
    tissues: Tissues,
    places: Sequence[npt.NDArray[np.intp]],
    grid: Grid,
) -> _Levels:
    """Return the local mean and standard deviation of every class; infinite means of classes without voxels."""
    image, count = tissues.image, len(smooth)
    mean, spread = np.full((count, len(places[0])), np.inf), np.zeros(count)
    overall = 0.0
    for k in range(count):
        core = _core(k, label == k, smooth[k], tissues)
        if not core.any():
            continue
        middle = float(np.median(image[core]))
        spread[k] = NORMAL * float(np.median(np.abs(image[core] - middle)))
        core &= np.abs(image - middle) <= max(OUTLIER * spread[k], 1e-6 * abs(middle))
        mean[k] = middle if k == FLUID else _local_mean(image, core, places, grid)
        overall = middle if k == WHITE else overall
    least = max(spread[WHITE], SMALLEST_SPREAD * (overall or float(image.max())), 1e-30)
    return _Levels(mean, np.clip(spread, least, LARGEST_SPREAD * least))


def _core(number: int, own: npt.NDArray[np.bool_], smooth: Volume, tissues: Tissues) -> npt.NDArray[np.bool_]:
    """Return the voxels (x, y, z) whose intensities are those of a class, from all of its voxels `own`."""
    own = own & (tissues.image > 0)
    if number == FLUID:
        core = own & (tissues.csf > 1 - WET)
    elif number == CORTEX:
        core = own & (tissues.gm > PURE)
    elif number == WHITE:
        core = own & (tissues.wm > PURE) & (smooth >= DEEP)
    else:
        deep = min(DEEP, float(np.median(smooth[own]))) if own.any() else DEEP
        core = own & (tissues.csf < WET) & (smooth >= deep)
    return core if core.sum() >= FEWEST or number == FLUID else own


def _local_mean(
    image: Volume, core: npt.NDArray[np.bool_], places: Sequence[npt.NDArray[np.intp]], grid: Grid
) -> FloatArray:
    """Return the mean of `image` (x, y, z) in `core` around each of `places`, in blocks of 2 x 2 x 2 voxels."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    weight, total = (_halved(np.where(core, part, 0)) for part in (np.float32(1), image))
    overall = float(total.sum(dtype=np.float64) / weight.sum(dtype=np.float64))
    sigma = NEAR / np.asarray(grid.voxel_edges) / 2
    sums, weights = (gaussian_filter(part, sigma, truncate=3.0, mode="constant") for part in (total, weight))
    level = (sums + np.float32(1e-3 * overall)) / (weights + np.float32(1e-3))
    where = (np.stack(places).astype(np.float32) - 0.5) / 2
    return np.asarray(map_coordinates(level, where, order=1, mode="nearest"), dtype=np.float64)


def _halved(image: Volume) -> Volume:
    """Return the sums over blocks of 2 x 2 x 2 voxels."""
    padded = np.pad(image.astype(np.float32), [(0, n % 2) for n in image.shape])
    x, y, z = (n // 2 for n in padded.shape)
    return np.asarray(padded.reshape(x, 2, y, 2, z, 2).sum(axis=(1, 3, 5)))


def _expected(voxels: _Voxels, levels: _Levels) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the expected fractions (class, voxel), and which voxels (voxel,) the image decides."""
    every = np.arange(len(voxels.image))
    prior = np.where(np.isfinite(levels.mean), voxels.prior, 0)
    order = np.argsort(-prior, axis=0, kind="stable")[:CANDIDATES]
    p, s = prior[order, every], levels.spread[order]
    m = np.where(p > 0, levels.mean[order, every], 0)
    part = np.zeros(order.shape)
    for a in range(len(order)):
        darker = (order[a] == WHITE) & (voxels.label == WHITE) & (voxels.image < m[a])
        other = np.where(darker, DARKER / np.maximum(m[a], TINY), 0)
        part[a] += p[a] ** 2 * (normal(voxels.image, m[a], s[a]) + other)
        for b in range(a + 1, len(order)):
            density, share = mixture(voxels.image, m[a], m[b], np.sqrt((s[a] ** 2 + s[b] ** 2) / 2))
            both = 2 * p[a] * p[b] * density
            part[a] += both * (1 - share)
            part[b] += both * share
    total = part.sum(axis=0)
    own = levels.mean[voxels.label, every]
    known = (total > TINY / s.max(axis=0)) & np.isfinite(own)
    limit = CONTRAST * np.sqrt((s**2 + levels.spread[voxels.label] ** 2) / 2)
    alike = np.abs(m - np.where(known, own, 0)) < limit
    part = np.where(known, part / np.where(known, total, 1), 0)
    found = np.zeros(voxels.prior.shape)
    for a in range(len(order)):
        found[order[a], every] += np.where(alike[a], 0, part[a])
    found[voxels.label, every] += np.where(alike, part, 0).sum(axis=0)
    return found, known & ~(alike | (p == 0)).all(axis=0)


def _shares(voxels: _Voxels, levels: _Levels) -> FloatArray:
    """Return the share of each structure's surface (structure,) at which both classes have contrast."""
    order = np.argsort(-voxels.prior, axis=0, kind="stable")[:2]
    every = np.arange(len(voxels.image))
    known = np.isfinite(levels.mean[order, every]).all(axis=0)
    mean, spread = np.where(known, levels.mean[order, every], 0), levels.spread[order]
    apart = known & (np.abs(mean[0] - mean[1]) >= CONTRAST * np.sqrt((spread**2).sum(axis=0) / 2))
    surface = voxels.prior[order[1], every] > SURFACE
    shares = []
    for k in range(len(SURROUNDINGS), len(voxels.prior)):
        own = surface & (order == k).any(axis=0)
        shares.append(float(apart[own].mean()) if own.any() else 0.0)
    return np.asarray(shares)
