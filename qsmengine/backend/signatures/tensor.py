"""Signatures of kernels/tensor.cu and kernels/tensor_search.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

VOLUME_BLOCK = 8
"""Volumes the kernels handle together; coefficients are padded to whole blocks with zeros."""

VOXEL_TILE = 256
"""The voxel list is padded to a multiple of this: whole tiles on every device."""

MAPS = 26
"""Planes of the output, see kernels/tensor_maps.h."""

TENSOR_FIT = Kernel(
    "tensor_fit",
    "tensor.cu",
    """
    signal: in f32 [volumes n]
    voxel_index: in i32 [fitted]
    basis: in f32 [blocks 7 8]
    products: in f32 [blocks 28 8]
    up: in f32 [7 7]
    maps: out f32 [26 n]
    min_signal: f32
    lowest: f32
    fsl: i32
    b_max: f32
    reweightings: i32
    measured: i32
    """,
    items="fitted",
    threads=128,
)

TENSOR_DEVIATION = Kernel(
    "tensor_deviation",
    "tensor.cu",
    """
    voxel_index: in i32 [fitted]
    deviation: in f32 [9 n]
    tensor: in f32 [6 n]
    maps: inout f32 [26 n]
    """,
    items="fitted",
    threads=128,
)

TENSOR_SEARCH = Kernel(
    "tensor_search",
    "tensor_search.cu",
    """
    signal: in f32 [volumes n]
    voxel_index: in i32 [fitted]
    basis: in f32 [blocks 7 8]
    products: in f32 [blocks 28 8]
    up: in f32 [7 7]
    down: in f32 [7 7]
    sigma: in f32 [sigmas]
    maps: out f32 [26 n]
    outliers: out u8 [marked n]
    min_signal: f32
    b_max: f32
    threshold: f32
    rician: i32
    robust: i32
    positive: i32
    iterations: i32
    """,
    items="fitted",
    threads=128,
)
