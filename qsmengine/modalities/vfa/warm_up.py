"""Small runs with several flip angles that compile their kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from qsmengine.backend.device import Device
from qsmengine.data import VfaSeries
from qsmengine.modalities.vfa.run import run_vfa
from qsmengine.phantom.head import VirtualHead
from qsmengine.pipeline.configuration.config import load_config


def warm_up(head: VirtualHead, device: Device) -> Mapping[str, Callable[[], object]]:
    """Return a run with the default methods in the true brain mask."""
    images = head.series("vfa")
    if images is None:
        return {}
    series: VfaSeries = images.series
    return {"flip angles": partial(run_vfa, series, load_config(), device, mask=head.mask)}
