"""Small runs of diffusion fits that compile their kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from qsmengine.backend.device import Device
from qsmengine.modalities.dwi.run import run_dti
from qsmengine.phantom.head import VirtualHead
from qsmengine.pipeline.configuration.config import load_config

TENSOR_FITS = ("ols", "wls")


def warm_up(head: VirtualHead, device: Device) -> Mapping[str, Callable[[], object]]:
    """Return fits in a given mask, and one in a computed brain mask."""
    if head.dwi is None:
        return {}
    runs: dict[str, Callable[[], object]] = {}
    for method in TENSOR_FITS:
        config = load_config(overrides={"diffusion": {"method": method, "mask": None}})
        runs[method] = partial(run_dti, head.dwi, config, device, mask=head.mask)
    own = load_config(overrides={"diffusion": {"method": TENSOR_FITS[0], "mask": "brain"}})
    return runs | {"brain mask": partial(run_dti, head.dwi, own, device)}
