"""Signature of kernels/free_water.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

WATER_MAPS = 27
"""Planes of the output: those of a tensor, and the fraction of free water."""

FREE_WATER_FIT = Kernel(
    "free_water_fit",
    "free_water.cu",
    """
    signal: in f32 [volumes n]
    voxel_index: in i32 [fitted]
    basis: in f32 [blocks 7 8]
    products: in f32 [blocks 28 8]
    up: in f32 [7 7]
    water: in f32 [blocks 8]
    maps: out f32 [27 n]
    b_max: f32
    free_md: f32
    iterations: i32
    """,
    items="fitted",
    threads=128,
)
