"""Signature of kernels/nlm.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

ROW_SLACK = 7
"""Voxels after each padded row that the kernel may read: it works in whole vectors."""

TILE_DEPTH = 24
"""Planes along x that a tile holds."""

NLM = Kernel(
    "nlm",
    "nlm.cu",
    """
    guide: in f32 [components px py pz]
    values: in f32 [components px py pz]
    precision: in f32 [maps px py pz]
    candidate: in f32 [px py pz]
    mask: in u8 [nx ny nz]
    filtered: out f32 [components nx ny nz]
    total: out f32 [nx ny nz]
    peak: out f32 [nx ny nz]
    scale: f32
    offset: f32
    least: f32
    search_x: i32
    search_y: i32
    search_z: i32
    patch_x: i32
    patch_y: i32
    patch_z: i32
    self_peak: i32
    """,
    items="nx ny nz",
)
