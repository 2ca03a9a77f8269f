"""Registration of arrays."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.data import Map
from qsmengine.errors import InputError
from qsmengine.ops.alignment import Alignment, Limits, align
from qsmengine.ops.registration import AnyKind


def register(moving: Map, fixed: Map, kind: AnyKind = "rigid", *, limits: Limits | None = None) -> Alignment:
    """Align `moving` with `fixed`, two images (x, y, z) of any contrast, voxel size and orientation.

    :func:`qsmengine.ops.transforms.bring` resamples further images under the transform, and
    :func:`~qsmengine.ops.transforms.label_fractions` labels.

    Parameters
    ----------
    moving, fixed
        Images with their grids, on the CPU or a GPU; the registration runs on the CPU.
    kind
        "rigid" for two images of one head; "affine" or "syn" (affine, then a diffeomorphism) for two heads or a
        template.
    limits
        Limits of the check; None: the defaults of :class:`qsmengine.ops.alignment.Limits`.

    Returns
    -------
    Alignment
        Transform from the fixed to the moving image, agreement of the aligned images, and the limits it misses.

    Raises
    ------
    InputError
        If the alignment misses a limit, as it does for two heads or a mirrored image; for an image that is too
        small, constant, or not finite, and for sheared voxels.
    DeviceError
        If the package antspyx is not installed.
    """
    arrays = [np.ascontiguousarray(to_numpy(one.array), dtype=np.float32) for one in (fixed, moving)]
    found = align(arrays[0], fixed.grid, arrays[1], moving.grid, kind, limits=limits)
    if found.problems:
        raise InputError(refusal(found))
    return found


def refusal(found: Alignment) -> str:
    """Return the message that refuses an alignment."""
    return f"the images do not align ({'; '.join(found.problems)})"
