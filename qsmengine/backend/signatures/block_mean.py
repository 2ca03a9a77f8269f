"""Signatures of kernels/block_mean.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

_FACTORS = """
    fx: i32
    fy: i32
    fz: i32
"""

BLOCK_MEAN = Kernel(
    "block_mean",
    "block_mean.cu",
    f"""
    image: in f32 [nx ny nz]
    mean: out f32 [bx by bz]
    {_FACTORS.strip()}
    """,
    items="nx ny nz",
)

BLOCK_PHASOR = Kernel(
    "block_phasor",
    "block_mean.cu",
    f"""
    magnitude: in f32 [nx ny nz]
    phase: in f32 [nx ny nz]
    re: out f32 [bx by bz]
    im: out f32 [bx by bz]
    {_FACTORS.strip()}
    """,
    items="nx ny nz",
)

BLOCK_SPREAD = Kernel(
    "block_spread",
    "block_mean.cu",
    f"""
    blocks: in u8 [bx by bz]
    mask: out u8 [nx ny nz]
    {_FACTORS.strip()}
    """,
    items="nx ny nz",
)
