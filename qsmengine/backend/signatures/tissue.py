"""Signature of kernels/tissue.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

TISSUE_STEP = Kernel(
    "tissue_step",
    "tissue.cu",
    """
    image: in f32 [nx ny nz]
    mask: in u8 [nx ny nz]
    old: in f32 [5 nx ny nz]
    weights: in f32 [neighbours]
    level: in f32 [3]
    spread: in f32 [3]
    share: in f32 [5]
    next: inout f32 [5 nx ny nz]
    fraction: inout f32 [3 nx ny nz]
    expected: inout f32 [nx ny nz]
    strength: f32
    """,
    items="nx ny nz",
)
