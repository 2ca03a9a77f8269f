"""Signatures of the deliberately broken kernels in broken.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

_ARGS = """
x: in f32 [rows n]
y: out f32 [rows n]
"""
RACING = (
    Kernel("missing_sync", "broken.cu", _ARGS, items="rows n"),
    Kernel("missing_lane_sync", "broken.cu", _ARGS, items="rows n"),
    Kernel("touching_voxels", "broken.cu", _ARGS, items="rows n"),
)
OVERRUNNING = (Kernel("past_the_end", "broken.cu", _ARGS, items="rows n"),)
BROKEN = (*RACING, *OVERRUNNING)
