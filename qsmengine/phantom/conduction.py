"""The phase offset that a conducting head gives to every echo.

Currents in tissue bend the radio-frequency field. With equal contributions of transmission and reception

    laplace phi_0 = 2 mu_0 omega sigma,    omega = 2 pi gamma B0

in the head: about 1e-3 rad/mm^2 at 3 T, as in the two echoes of the bundled head. phi_0 is the solution that
vanishes at infinity; harmonic parts are those of the coil (:class:`~qsmengine.phantom.gre.SmoothCoil`).

References: Voigt et al. 2011, 10.1002/mrm.22832; Gabriel et al. 1996, 10.1088/0031-9155/41/11/002 (conductivity
at 128 MHz, here at every field strength).
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.resample import FloatImage
from qsmengine.units import rad_per_ppm

MU_0 = 4e-7 * math.pi
"""Permeability of free space [H/m]."""
SIGMA = {
    "air": 0.0, "white_matter": 0.34, "cerebellar_white_matter": 0.34, "brain_stem": 0.34, "optic_nerve": 0.34,
    "csf": 2.0, "vitreous": 1.5, "artery": 1.25, "vein": 1.25, "muscle": 0.7, "soft_tissue": 0.35, "skin": 0.5,
    "mucosa": 0.6, "cortical_bone": 0.07, "cancellous_bone": 0.18,
}  # fmt: skip
"""Class of tissue -> conductivity [S/m]."""
GREY = 0.58
"""Conductivity of all other classes [S/m]."""
COARSE = 4.0
"""Voxel edge of the grid on which the phase is computed [mm]."""


def conduction_phase(head: HeadIndex, field_strength: float) -> FloatImage:
    """Return phi_0 (x, y, z) [rad] on the grid of `head` at `field_strength` [T]."""
    from scipy.ndimage import zoom

    voxel = head.grid.voxel_size
    blocks = tuple(max(round(COARSE / h), 1) for h in voxel)
    sigma = head.lookup([SIGMA.get(region.tissue, GREY) for region in head.regions], np.float32)
    coarse = _block_means(sigma, blocks)
    edges = [h * n for h, n in zip(voxel, blocks, strict=True)]
    omega = 1e6 * rad_per_ppm(field_strength, 1.0)
    phase = _potential(2e-6 * MU_0 * omega * coarse, edges)  # 1e-6: per m^2 to per mm^2
    fine: FloatImage = zoom(phase, blocks, order=3, mode="nearest", grid_mode=True)
    nx, ny, nz = sigma.shape
    return fine[:nx, :ny, :nz]


def _block_means(image: FloatImage, blocks: tuple[int, ...]) -> FloatImage:
    """Return the means over blocks of voxels; incomplete blocks at the ends are filled with zeros."""
    padded = np.pad(image, [(0, -n % block) for n, block in zip(image.shape, blocks, strict=True)])
    (nx, ny, nz), (a, b, c) = padded.shape, blocks
    means: FloatImage = padded.reshape(nx // a, a, ny // b, b, nz // c, c).mean(axis=(1, 3, 5))
    return means


def _potential(source: FloatImage, edges: list[float]) -> FloatImage:
    """Return the solution of laplace v = `source` that vanishes at infinity: -sum source dV / (4 pi r)."""
    from scipy.fft import irfftn, rfftn

    shape = [2 * n for n in source.shape]
    axes = [np.fft.fftfreq(n, 1 / n) * h for n, h in zip(shape, edges, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    volume = math.prod(edges)
    distance = np.sqrt(x * x + y * y + z * z)
    sphere = (3 * volume / (4 * math.pi)) ** (1 / 3)
    distance[0, 0, 0] = 2 * sphere / 3  # mean of 1 / r over a sphere of the voxel's volume
    kernel = -volume / (4 * math.pi * distance)
    whole = irfftn(rfftn(source, shape) * rfftn(kernel), shape)
    nx, ny, nz = source.shape
    return np.asarray(whole[:nx, :ny, :nz], dtype=np.float32)
