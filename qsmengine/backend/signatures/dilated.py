"""Signatures of kernels/dilated.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

DILATED_LAYER = Kernel(
    "dilated_layer",
    "dilated.cu",
    """
    activation: in f32 [nx ny inputs pitch]
    weights: in f32 [groups inputs 27 6]
    bias: in f32 [outputs]
    result: out f32 [nx ny outputs pitch]
    dilation: i32
    """,
    items="nx ny groups",
    threads=128,
)

DILATED_CLASSES = Kernel(
    "dilated_classes",
    "dilated.cu",
    """
    activation: in f32 [rows inputs pitch]
    weights: in f32 [inputs classes]
    bias: in f32 [classes]
    found: out u8 [rows pitch]
    """,
    items="rows",
    threads=128,
)
