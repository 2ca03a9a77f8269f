"""Small runs that compile CuPy's kernels before their first use.

CuPy compiles a kernel for each operation and the types, order and number of dimensions of its arguments, and
caches it on disk (CUPY_CACHE_DIR). Sizes do not matter: a small head needs the same kernels as a large one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from qsmengine.api.denoising import denoise
from qsmengine.api.reconstruct import fit_tensor
from qsmengine.backend.device import Device
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.phantom.head import virtual_head
from qsmengine.pipeline.configuration.config import load_config, preset_names

ECHO_TIMES = (0.005, 0.010, 0.015, 0.020)
TENSOR_FITS = ("ols", "wls")
FILTERS = ("mnlm", "mppca")
IMAGES = 8
"""Number of volumes of the diffusion series passed to the filters."""


def warm_up(device: Device, announce: Callable[[str], None] | None = None) -> list[str]:
    """Run every preset, tensor fits, the brain mask and denoising filters on a small head; return their names.

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
    head = virtual_head(voxel_size=(6.0, 6.0, 6.0), snr=60.0, echo_times=ECHO_TIMES, modalities=("gre", "dwi"))
    runs: dict[str, Callable[[], object]] = {}
    if head.gre is not None:
        for preset in preset_names():
            runs[preset] = partial(run_qsm, head.gre, load_config(preset=preset), device)
    if head.dwi is not None:
        fit = partial(fit_tensor, head.dwi.signal, head.dwi.b_values, head.dwi.b_vectors, head.grid)
        for method in TENSOR_FITS:
            runs[method] = partial(fit, mask=head.mask, method=method, device=device)
        runs["brain mask"] = partial(fit, params={"mask": "brain"}, method=TENSOR_FITS[0], device=device)
        images = np.ascontiguousarray(head.dwi.signal[..., :IMAGES])
        for method in FILTERS:
            runs[method] = partial(denoise, images, head.grid, mask=head.mask, method=method, device=device)
    return runs
