"""Signatures of kernels/tensor.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

VOLUME_BLOCK = 8
"""Volumes the kernel handles together; coefficients are padded to whole blocks with zeros."""

VOXEL_TILE = 256
"""The voxel list is padded to a multiple of this: whole tiles on every device."""

TENSOR_FIT = Kernel(
    "tensor_fit",
    "tensor.cu",
    """
    signal: in f32 [volumes n]
    voxel_index: in i32 [fitted]
    basis: in f32 [blocks 7 8]
    products: in f32 [blocks 28 8]
    up: in f32 [7 7]
    maps: out f32 [23 n]
    min_signal: f32
    b_max: f32
    reweightings: i32
    """,
    items="fitted",
)
