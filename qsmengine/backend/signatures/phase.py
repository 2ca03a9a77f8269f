"""Signatures of kernels/phase.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

HERMITIAN_PRODUCT = Kernel(
    "hermitian_product",
    "phase.cu",
    """
    phase1: in f32 [n]
    phase2: in f32 [n]
    magnitude1: in f32 [n]
    magnitude2: in f32 [n]
    mask: in u8 [n]
    angle: out f32 [n]
    magnitude: out f32 [n]
    """,
    items="n",
)

OFFSET_PHASOR = Kernel(
    "offset_phasor",
    "phase.cu",
    """
    phase1: in f32 [n]
    difference: in f32 [n]
    mask: in u8 [n]
    re: out f32 [n]
    im: out f32 [n]
    ratio: f32
    """,
    items="n",
)

SUBTRACT_OFFSET = Kernel(
    "subtract_offset",
    "phase.cu",
    """
    phase: in f32 [n]
    re: in f32 [n]
    im: in f32 [n]
    mask: in u8 [n]
    corrected: out f32 [n]
    """,
    items="n",
)
