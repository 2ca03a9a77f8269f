"""Small runs that compile CuPy's kernels before their first use.

CuPy compiles a kernel for each operation and the types, order and number of dimensions of its arguments, and
caches it on disk (CUPY_CACHE_DIR). Sizes do not matter: a small head needs the same kernels as a large one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from qsmengine.api.denoising import denoise
from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.modalities.registry import all_modalities
from qsmengine.phantom.head import VirtualHead, virtual_head

ECHO_TIMES = (0.005, 0.010, 0.015, 0.020)
FILTERS = ("mnlm", "mppca")
IMAGES = 8
"""Number of images passed to the filters."""


def warm_up(device: Device, announce: Callable[[str], None] | None = None) -> list[str]:
    """Run the small runs of every modality and the denoising filters on a small head; return their names.

    Parameters
    ----------
    device
        Compute device.
    announce
        Called with the name of each run before it starts.

    Raises
    ------
    DeviceError
        If a kernel does not compile or memory runs out.
    """
    runs = _runs(device)
    for name, run in runs.items():
        if announce is not None:
            announce(name)
        run()
    return list(runs)


def _runs(device: Device) -> dict[str, Callable[[], object]]:
    modalities = [modality for modality in all_modalities() if modality.warm_up is not None]
    drawings = [modality.drawing for modality in modalities if modality.drawing is not None]
    head = virtual_head(voxel_size=(6.0, 6.0, 6.0), snr=60.0, echo_times=ECHO_TIMES, modalities=drawings)
    runs: dict[str, Callable[[], object]] = {}
    for modality in modalities:
        if modality.warm_up is not None:
            runs |= modality.warm_up(head, device)
    images = _noisy_images(head)
    for method in FILTERS:
        runs[method] = partial(denoise, images, head.grid, mask=head.mask, method=method, device=device)
    return runs


def _noisy_images(head: VirtualHead) -> Array:
    """Return proton density (x, y, z, image) with noise, for the denoising filters."""
    density = head.truth["m0"].array
    noise = np.random.default_rng(0).standard_normal((*density.shape, IMAGES), dtype=np.float32)
    images: Array = density[..., np.newaxis] + np.float32(0.02) * noise
    return images
