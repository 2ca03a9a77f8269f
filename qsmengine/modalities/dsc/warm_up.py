"""Small runs of perfusion that compile their kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from qsmengine.backend.device import Device
from qsmengine.data import DscSeries
from qsmengine.modalities.dsc.run import run_dsc
from qsmengine.phantom.head import VirtualHead
from qsmengine.pipeline.configuration.config import load_config


def warm_up(head: VirtualHead, device: Device) -> Mapping[str, Callable[[], object]]:
    """Return a run with the default methods in the true brain mask."""
    series: DscSeries | None = head.series("dsc")
    if series is None:
        return {}
    return {"perfusion": partial(run_dsc, series, load_config(), device, mask=head.mask)}
