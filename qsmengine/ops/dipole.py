"""The unit dipole: the field [ppm] of a unit susceptibility [ppm] as a convolution."""

from __future__ import annotations

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.dipole import DIPOLE_KSPACE
from qsmengine.data import Array
from qsmengine.grid import Vector3


def dipole_response(
    shape: tuple[int, int, int], voxel_size: Vector3, b0_direction: Vector3, device: Device
) -> Array:
    """Return the half spectrum of the dipole: D(k) = 1/3 - (k . b)^2 / |k|^2 with D(0) = 0.

    Sampled in k-space (k in cycles/mm); multiplying the spectrum of chi [ppm] by it gives that of the
    field [ppm], with the Lorentz sphere correction. Bins at a Nyquist frequency hold the mean over both
    its signs, so the kernel is real and mirrored with the image, also for oblique b. D(0) = 0 sets the
    mean over the grid to zero: susceptibility is known up to a constant.

    Parameters
    ----------
    shape
        (nx, ny, nz) of the real grid.
    voxel_size
        [mm].
    b0_direction
        Unit vector in array axes.
    device
        Device of the result.

    Returns
    -------
    Array
        float32 (nx, ny, nz // 2 + 1).

    References
    ----------
    Marques & Bowtell 2005, 10.1002/cmr.b.20034; Salomir et al. 2003, 10.1002/cmr.b.10083.
    """
    nx, ny, nz = shape
    dipole = device.empty((nx, ny, nz // 2 + 1))
    steps = {f"dk{axis}": 1.0 / (n * h) for axis, n, h in zip("xyz", shape, voxel_size, strict=True)}
    bx, by, bz = b0_direction
    launch(DIPOLE_KSPACE, device, dipole=dipole, bx=bx, by=by, bz=bz, nz_real=nz, **steps)
    return dipole
