"""Signatures of kernels/ball.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

BALL_GAPS = Kernel(
    "ball_gaps",
    "ball.cu",
    """
    mask: in u8 [nx ny nz]
    gap: out u8 [nx ny nz]
    reach: i32
    """,
    items="nx ny nz",
)

BALL_PLANES = Kernel(
    "ball_planes",
    "ball.cu",
    """
    gap: in u8 [nx ny nz]
    width: in u8 [wy wx]
    taken: out u8 [nx ny nz]
    """,
    items="nx ny nz",
)

BALL_KEEP = Kernel(
    "ball_keep",
    "ball.cu",
    """
    taken: in u8 [nx ny nz]
    kept: out u8 [nx ny nz]
    reach: i32
    """,
    items="nx ny nz",
)
