"""Signatures of kernels/leakage.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

LEAKAGE_FIT = Kernel(
    "leakage_fit",
    "leakage.cu",
    """
    change: in f32 [frame n]
    mask: in u8 [n]
    open: in u8 [n]
    reference: in f32 [frame]
    leaked: in f32 [settings frame]
    inverse: in f32 [settings 3]
    corrected: out f32 [frame n]
    k2: out f32 [n]
    setting: out f32 [n]
    significance: f32
    """,
    items="n",
)
