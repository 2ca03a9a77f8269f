"""Small runs with spin echoes that compile their kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from qsmengine.backend.device import Device
from qsmengine.data import MeseSeries
from qsmengine.modalities.mese.run import run_mese
from qsmengine.phantom.head import VirtualHead
from qsmengine.pipeline.configuration.config import load_config


def warm_up(head: VirtualHead, device: Device) -> Mapping[str, Callable[[], object]]:
    """Return a run with the default methods in the true brain mask."""
    images = head.series("mese")
    if images is None:
        return {}
    series: MeseSeries = images.series
    return {"spin echoes": partial(run_mese, series, load_config(), device, mask=head.mask)}
