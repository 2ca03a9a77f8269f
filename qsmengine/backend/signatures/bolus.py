"""Signatures of kernels/bolus.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

LOG_CONTRAST = Kernel(
    "log_contrast",
    "bolus.cu",
    """
    series: in f32 [frame n]
    mask: in u8 [n]
    change: out f32 [frame n]
    s0: out f32 [n]
    deviation: out f32 [n]
    saturated: out f32 [n]
    spread: f32
    scale: f32
    first: i32
    last: i32
    """,
    items="n",
)

BOLUS_FEATURES = Kernel(
    "bolus_features",
    "bolus.cu",
    """
    change: in f32 [frame n]
    mask: in u8 [n]
    area: out f32 [n]
    peak: out f32 [n]
    place: out f32 [n]
    centre: out f32 [n]
    width: out f32 [n]
    roughness: out f32 [n]
    first: i32
    last: i32
    """,
    items="n",
)
