"""Tissue properties per label, with smooth variation inside the labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import yaml

from qsmengine.ops.domain import bounding_box
from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.resample import FloatImage, interpolate

TABLE_FIELD = 3.0
"""Field strength of the table [T]."""
TEXTURE_LATTICE = 3.0
"""Spacing of the lattice on which the texture is drawn [mm]."""
TEXTURE_FLOOR = 0.02
"""Susceptibility [ppm] added to |chi| in the scale of the texture, so that tissue near 0 also varies."""


@dataclass(frozen=True)
class Tissue:
    """Properties of one tissue class; ``tissue.yaml`` gives units and sources."""

    chi: float
    r2star: float
    r2: float
    growth: float
    m0: float
    md: float
    fa: float

    def r2star_at(self, field_strength: float) -> float:
        """R2* [1/s] at `field_strength` [T]: r2star (1 - growth + growth B0 / 3 T)."""
        return self.r2star * (1.0 - self.growth + self.growth * field_strength / TABLE_FIELD)


@dataclass(frozen=True)
class TissueMaps:
    """Maps (x, y, z) on the label grid: `chi` [ppm], `r2star`, `r2` [1/s], `m0` [1]."""

    chi: FloatImage
    r2star: FloatImage
    r2: FloatImage
    m0: FloatImage


@cache
def tissue_table() -> dict[str, Tissue]:
    """Tissue classes by name."""
    text = (resources.files("qsmengine.phantom") / "tissue.yaml").read_text(encoding="utf-8")
    return {
        name: Tissue(**{key: float(value) for key, value in row.items()})
        for name, row in yaml.safe_load(text)["tissues"].items()
    }


def region_tissues(head: HeadIndex) -> list[Tissue]:
    """Return the tissue of each region, in the order of `head.regions`."""
    table = tissue_table()
    return [table[region.tissue] for region in head.regions]


def tissue_maps(
    head: HeadIndex, field_strength: float, *, texture: float, rng: np.random.Generator
) -> TissueMaps:
    """Return property maps of `head` at `field_strength` [T].

    Inside the brain the table's values vary with three independent smooth random fields g of unit variance:
    chi + texture (abs(chi) + 0.02 ppm) g, r2star (1 + texture g), m0 (1 + texture g / 2). CSF varies in chi
    only through the 0.02 ppm.

    Parameters
    ----------
    head
        Labels.
    field_strength
        [T].
    texture
        Relative standard deviation inside a label; 0 gives piecewise constant maps.
    rng
        Source of the random fields.
    """
    tissues = region_tissues(head)
    chi = head.lookup([t.chi for t in tissues])
    r2star = head.lookup([t.r2star_at(field_strength) for t in tissues])
    r2 = head.lookup([t.r2 for t in tissues])
    m0 = head.lookup([t.m0 for t in tissues])
    if texture > 0:
        brain = head.lookup([region.brain for region in head.regions], np.float32)
        start, stop = bounding_box(brain)
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        inside = brain[box] * np.float32(texture)
        spacing = TEXTURE_LATTICE / head.grid.voxel_size[0]
        noise = [inside * smooth_noise(inside.shape, rng, spacing) for _ in range(3)]
        chi[box] += (np.abs(chi[box]) + np.float32(TEXTURE_FLOOR)) * noise[0]
        r2star[box] *= np.maximum(1 + noise[1], np.float32(0.1))
        m0[box] *= np.maximum(1 + noise[2] / 2, np.float32(0.1))
    return TissueMaps(chi, r2star, r2, m0)


def smooth_noise(
    shape: tuple[int, ...], rng: np.random.Generator, spacing: float = TEXTURE_LATTICE
) -> FloatImage:
    """Return Gaussian noise of mean 0 and variance 1, smooth over about 3 `spacing` (full width, half maximum).

    White noise on a lattice of `spacing` voxels is smoothed there and interpolated by cubic splines.
    """
    from scipy.ndimage import gaussian_filter

    lattice = tuple(math.ceil(n / spacing) + 1 for n in shape)
    noise = gaussian_filter(rng.standard_normal(lattice, dtype=np.float32), 1.0, mode="wrap")
    fine = interpolate(noise, shape, (spacing,) * 3)
    fine -= np.float32(fine.mean(dtype=np.float64))
    fine /= np.float32(fine.std(dtype=np.float64))
    return fine
