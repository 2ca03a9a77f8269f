"""Small runs of gradient echoes that compile their kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from qsmengine.backend.device import Device
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.phantom.head import VirtualHead
from qsmengine.pipeline.configuration.config import load_config, preset_names


def warm_up(head: VirtualHead, device: Device) -> Mapping[str, Callable[[], object]]:
    """Return a run of every preset."""
    if head.gre is None:
        return {}
    return {preset: partial(run_qsm, head.gre, load_config(preset=preset), device) for preset in preset_names()}
