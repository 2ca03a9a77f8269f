"""Signatures of kernels/dilated.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

DILATED_LAYER = Kernel(
    "dilated_layer",
    "dilated.cu",
    """
    activation: in f32 [inputs nx ny pitch]
    weights: in f32 [groups inputs 27 6]
    bias: in f32 [outputs]
    result: out f32 [outputs nx ny pitch]
    dilation: i32
    """,
    items="nx ny groups",
    threads=128,
)

DILATED_CLASSES = Kernel(
    "dilated_classes",
    "dilated.cu",
    """
    activation: in f32 [inputs n]
    weights: in f32 [inputs classes]
    bias: in f32 [classes]
    found: out u8 [n]
    """,
    items="n",
    threads=128,
)
