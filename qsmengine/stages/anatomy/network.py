"""Brain structures of a T1-weighted image by MeshNet, a network of dilated convolutions.

Nine layers of 3 x 3 x 3 taps with dilations 1, 2, 4, 8, 16, 8, 4, 2, 1 and exponential linear units, and one of
a single tap, classify each voxel. Weights: brainchop, MIT licence (``data/README.md``). They run through a
kernel of the package on CPU and GPU.

References: Fedorov et al. 2017, 10.1109/IJCNN.2017.7966333; Plis et al. 2024, 10.52294/001c.75151.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.memory import available_memory
from qsmengine.backend.signatures.dilated import DILATED_CLASSES, DILATED_LAYER
from qsmengine.data import Array
from qsmengine.errors import InputError, OutOfMemoryError

WEIGHTS = "meshnet30.npz"
GROUP, PAD, ROW = 6, 16, 32
"""Channels that the kernel computes together, zeros at both ends of a row, and multiple of its voxels."""
TAPS = 27
CLASSES = (
    "background", "white_matter", "cortex", "lateral_ventricle", "inferior_lateral_ventricle",
    "cerebellar_white_matter", "cerebellar_cortex", "thalamus", "caudate", "putamen", "pallidum",
    "third_ventricle", "fourth_ventricle", "brain_stem", "hippocampus", "amygdala", "accumbens",
    "ventral_diencephalon",
)  # fmt: skip
"""Classes by number; left and right are one class."""


class Layer(NamedTuple):
    """Weights (group, input, tap, channel), bias (output,), and distance of the taps [voxel]."""

    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    dilation: int


class Network(NamedTuple):
    """Layers, and weights (input, class) and bias (class,) of the scores."""

    layers: tuple[Layer, ...]
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


@cache
def load_network() -> Network:
    """Return the bundled network."""
    with (
        resources.files("qsmengine.stages.anatomy").joinpath("data", WEIGHTS).open("rb") as stream,
        np.load(stream, allow_pickle=False) as stored,
    ):
        arrays = {name: np.asarray(stored[name]) for name in stored.files}
    dilations = [int(d) for d in arrays["dilations"]]
    last = len(dilations) - 1
    layers = tuple(
        Layer(in_groups(arrays[f"kernel{k}"]), arrays[f"bias{k}"], dilations[k]) for k in range(last)
    )
    return Network(layers, np.ascontiguousarray(arrays[f"kernel{last}"][0, 0, 0]), arrays[f"bias{last}"])


def in_groups(kernel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return a kernel (3, 3, 3, input, output) in the order of the layers: (group, input, tap, channel)."""
    inputs, outputs = kernel.shape[3:]
    return np.ascontiguousarray(
        kernel.reshape(TAPS, inputs, outputs // GROUP, GROUP).transpose(2, 1, 0, 3), dtype=np.float32
    )


def classify(image: Array, network: Network, device: Device) -> Array:
    """Return the class (x, y, z) uint8 of each voxel of `image` (x, y, z).

    Parameters
    ----------
    image
        T1-weighted, 0 .. 1, voxels of 1 mm whose axes point left, down and forward. The last axis is a multiple
        of 32 voxels.
    network
        Layers.
    device
        Compute device.

    Raises
    ------
    InputError
        For a last axis of another length.
    OutOfMemoryError
        If the activations of two layers do not fit.
    """
    nx, ny, nz = (int(n) for n in image.shape)
    if nz % ROW:
        raise InputError(f"{nz} voxels along the last axis, not a multiple of {ROW}", field="shape")
    _check_memory((nx, ny, nz), network, device)
    values = device.zeros((nx, ny, 1, nz + 2 * PAD))
    values[:, :, 0, PAD:-PAD] = device.asarray(image)
    for layer in network.layers:
        result = device.empty((nx, ny, len(layer.bias), nz + 2 * PAD))
        launch(
            DILATED_LAYER, device, activation=values, weights=device.asarray(layer.weights),
            bias=device.asarray(layer.bias), result=result, dilation=layer.dilation,
        )  # fmt: skip
        values = result
    found = device.empty((nx * ny, nz + 2 * PAD), np.uint8)
    launch(
        DILATED_CLASSES, device, activation=values.reshape(nx * ny, -1, nz + 2 * PAD),
        weights=device.asarray(network.weights), bias=device.asarray(network.bias), found=found,
    )  # fmt: skip
    classes: Array = found.reshape(nx, ny, nz + 2 * PAD)[:, :, PAD:-PAD]
    return classes


def _check_memory(shape: tuple[int, int, int], network: Network, device: Device) -> None:
    """Raise OutOfMemoryError if the activations of two layers do not fit."""
    nx, ny, nz = shape
    need = 2 * 4 * max(len(layer.bias) for layer in network.layers) * nx * ny * (nz + 2 * PAD)
    have = available_memory(device)
    if have is not None and need > have:
        raise OutOfMemoryError(
            f"the segmentation of the brain needs about {need / 2**30:.1f} GiB on {device}, "
            f"{have / 2**30:.1f} GiB are available"
        )
