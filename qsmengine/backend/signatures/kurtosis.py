"""Signature of kernels/kurtosis.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

KURTOSIS_MAPS = 46
"""Planes of the output, see kernels/kurtosis.h."""

KURTOSIS_FIT = Kernel(
    "kurtosis_fit",
    "kurtosis.cu",
    """
    signal: in f32 [volumes n]
    voxel_index: in i32 [fitted]
    basis: in f32 [blocks 22 8]
    products: in f32 [blocks 253 8]
    up: in f32 [22 22]
    cone: in f32 [constraints 22]
    nodes: in f32 [quadrature 2]
    maps: out f32 [46 n]
    min_signal: f32
    b_max: f32
    lowest: f32
    highest: f32
    reweightings: i32
    """,
    items="fitted",
    threads=128,
)
