"""Signatures of kernels/nlm_blocks.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

NLM_STATISTICS = Kernel(
    "nlm_statistics",
    "nlm_blocks.cu",
    """
    guide: in f32 [components px py pz]
    statistics: out f32 [numbers px py pz]
    patch_x: i32
    patch_y: i32
    patch_z: i32
    """,
    items="px py pz",
)

NLM_BLOCKS = Kernel(
    "nlm_blocks",
    "nlm_blocks.cu",
    """
    guide: in f32 [components px py pz]
    values: in f32 [components px py pz]
    precision: in f32 [maps px py pz]
    candidate: in f32 [px py pz]
    statistics: in f32 [numbers px py pz]
    estimates: out f32 [components voxels bx by bz]
    scale: f32
    offset: f32
    most: f32
    mean_part: f32
    variance_ratio: f32
    search_x: i32
    search_y: i32
    search_z: i32
    patch_x: i32
    patch_y: i32
    patch_z: i32
    self_peak: i32
    first_x: i32
    first_y: i32
    first_z: i32
    stride_x: i32
    stride_y: i32
    stride_z: i32
    """,
    items="voxels bx by bz",
)

NLM_BLOCK_MEANS = Kernel(
    "nlm_block_means",
    "nlm_blocks.cu",
    """
    estimates: in f32 [components voxels bx by bz]
    mask: in u8 [nx ny nz]
    filtered: out f32 [components nx ny nz]
    patch_x: i32
    patch_y: i32
    patch_z: i32
    first_x: i32
    first_y: i32
    first_z: i32
    stride_x: i32
    stride_y: i32
    stride_z: i32
    """,
    items="components nx ny nz",
)
