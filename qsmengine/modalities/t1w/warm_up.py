"""Small runs of anatomy that compile its kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.phantom.head import VirtualHead
from qsmengine.stages.anatomy.network import ROW, classify, load_network
from qsmengine.stages.anatomy.tissue import TissueParams, tissue

SIDE = 8
"""Voxels of the network's image along its first two axes."""


def warm_up(head: VirtualHead, device: Device) -> Mapping[str, Callable[[], object]]:
    """Return a run of the network on a small image, and of the tissue classes in the true brain mask."""
    images = head.series("t1w")
    if images is None:
        return {}
    brain = head.truth["GM"].array + head.truth["WM"].array + head.truth["CSF"].array > np.float32(0.5)
    empty = np.zeros((SIDE, SIDE, ROW), np.float32)
    return {
        "brain structures": partial(classify, empty, load_network(), device),
        "tissue classes": partial(
            tissue, images.images["T1w"], brain, images.placement.grid, TissueParams(order=2), device=device
        ),
    }
