"""Causes of errors of chi: maps [ppm] computed from the images of one scan.

Each map is proportional to one contribution to the error, and a calibration weighs them:

- "tissue": 1 ppm in tissue, less where slow decay shows CSF, whose chi is nearly uniform.
- "rim": "tissue" times o4 (1 - o2), where o_s is the share of a Gaussian of s voxels that lies outside the
  mask. It is largest in layers 2 to 4: there background and local field are hardest to separate, while layer
  1 is regularised towards cortex.
- "surface": "tissue" times o2, for inversions that do not regularise layer 1.
- "noise": standard deviation of the field, r.m.s. over a Gaussian of 1 voxel.
- "misfit": Laplacian of (total field - D chi), as standard deviation of white noise of the field with this
  Laplacian, r.m.s. over 2 voxels. The background is harmonic, so it does not contribute.
- "steepness": change of the total field from voxel to voxel, r.m.s. over 1 voxel: dephasing, ringing and
  partial volume near bone and air.
- "edge", "edges": change of chi from voxel to voxel, there and r.m.s. over 2 voxels: partial volume, veins.

Errors by "misfit", "steepness", "edge" and "edges" change their sign within a few voxels and average out in a
region. Those by the other causes keep it over a structure: background, contrast lost to regularisation, which
grows with the noise.
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.multigrid import MG_COMPACT
from qsmengine.data import Array
from qsmengine.grid import Grid, Vector3
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.domain import Domain
from qsmengine.ops.gaussian import gaussian_filter
from qsmengine.ops.morphology import without_boundary
from qsmengine.solvers.multigrid import compact_weights
from qsmengine.stages.single_step.fluid import relative_decay
from qsmengine.stages.single_step.result import FIELD_MARGIN
from qsmengine.stages.single_step.rim import steepness

NAMES = ("tissue", "rim", "surface", "noise", "misfit", "steepness", "edge", "edges")
TISSUE_DECAY = 0.8
"""Decay, relative to the mask's median, from which a voxel is tissue."""
LEAST_TISSUE = 0.25
"""Value of "tissue" in CSF."""


def error_causes(
    chi: Array,
    total_field: Array,
    noise: Array,
    mask: Array,
    magnitude: Array | None,
    grid: Grid,
    device: Device,
) -> dict[str, Array]:
    """Return the maps of NAMES (x, y, z) [ppm] inside `mask`, 0 outside it.

    Parameters
    ----------
    chi, total_field, noise
        (x, y, z) [ppm]. The field is unknown where `noise` is not positive or not finite.
    mask
        (x, y, z) bool, voxels in which chi is defined.
    magnitude
        (x, y, z, echo), any unit; None, or one echo: everything counts as tissue.
    grid, device
        Geometry with B0 direction, and where to compute.
    """
    xp = device.xp
    voxels = _Voxels(grid.voxel_size, device)
    known = mask & xp.isfinite(noise) & (noise > 0)
    decay = _decay(magnitude, mask, device)
    tissue = xp.clip(decay / np.float32(TISSUE_DECAY), LEAST_TISSUE, 1)
    inside = mask.astype(np.float32)
    near, far = (np.float32(1) - voxels.mean(inside, size) for size in (2, 4))
    edge = steepness(chi, mask)
    own = _field_of(chi, mask, grid, device)
    rest = xp.where(known, total_field - own, np.float32(0))
    inner = without_boundary(known)
    maps = {
        "tissue": tissue,
        "rim": tissue * far * (1 - near),
        "surface": tissue * near,
        "noise": voxels.rms(xp.where(known, noise, np.float32(0)), known, 1),
        "misfit": voxels.rms(_laplacian(rest, inner, grid.voxel_size, device), inner, 2),
        "steepness": voxels.rms(steepness(total_field, known), known, 1),
        "edge": edge,
        "edges": voxels.rms(edge, mask, 2),
    }
    return {name: xp.where(mask, image, np.float32(0)) for name, image in maps.items()}


class _Voxels:
    """Gaussian means whose standard deviation is a number of voxels (of the cube with a voxel's volume)."""

    def __init__(self, voxel_size: Vector3, device: Device) -> None:
        self.voxel_size, self.device = voxel_size, device
        self.edge = math.prod(voxel_size) ** (1 / 3)

    def mean(self, image: Array, size: float) -> Array:
        """Return the Gaussian mean of `image`, which continues with zeros."""
        return gaussian_filter(image, self.voxel_size, size * self.edge, self.device, mirror=False)

    def rms(self, image: Array, where: Array, size: float) -> Array:
        """Return the root of the mean square over the voxels `where`; 0 without any in reach."""
        xp = self.device.xp
        share = self.mean(where.astype(np.float32), size)
        square = self.mean(xp.where(where, image * image, np.float32(0)), size)
        least = np.float32(1e-6)
        result: Array = xp.where(share > least, xp.sqrt(square / xp.maximum(share, least)), np.float32(0))
        return result


def _decay(magnitude: Array | None, mask: Array, device: Device) -> Array:
    """Return the decay of the magnitude over its median in the mask; 1 everywhere if it is unknown."""
    decay = None if magnitude is None else relative_decay(magnitude, mask, device)
    known: Array = device.xp.ones(mask.shape, np.float32) if decay is None else decay.astype(np.float32)
    return known


def _field_of(chi: Array, mask: Array, grid: Grid, device: Device) -> Array:
    """Return the field (x, y, z) [ppm] of chi inside the mask."""
    domain = Domain.for_kernel(mask, grid, FIELD_MARGIN, device)
    response = dipole_response(domain.shape, grid.voxel_size, grid.b0_direction, device)
    return domain.extract(RealFFT(domain.shape, device).filter(domain.insert(chi, mask), response))


def _laplacian(field: Array, inner: Array, voxel_size: Vector3, device: Device) -> Array:
    """Return the Laplacian of 19 points at the voxels `inner`, over the norm of its weights; 0 elsewhere."""
    weights = compact_weights(voxel_size)
    counts = {"c": 1, "f": 2, "e": 4}
    norm = math.sqrt(sum(counts[name[0]] * weight**2 for name, weight in weights.items()))
    result = device.zeros(tuple(inner.shape))
    inside = device.asarray(inner, np.uint8)
    launch(MG_COMPACT, device, v=device.asarray(field), inside=inside, out=result, **weights)
    result *= np.float32(1 / norm)
    return result
