"""Signatures of kernels/uniform.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

UNIFORM_ADD = Kernel(
    "uniform_add",
    "uniform.cu",
    """
    total: inout f32 [n]
    x: in f32 [n]
    scale: f32
    """,
    items="n",
)

UNIFORM_SUMS = Kernel(
    "uniform_sums",
    "uniform.cu",
    """
    place: in i64 [m]
    x: in f32 [n]
    multiplier: in f32 [m]
    target: in f32 [m]
    v: out f32 [m]
    partial: out f64 [blocks]
    relax: f32
    """,
    items="m",
)

UNIFORM_MEAN = Kernel(
    "uniform_mean",
    "uniform.cu",
    """
    partial: in f64 [blocks]
    mean: out f64 [one]
    size: f32
    """,
    items="one",
)

UNIFORM_STEP = Kernel(
    "uniform_step",
    "uniform.cu",
    """
    place: in i64 [m]
    x: in f32 [n]
    v: in f32 [m]
    mean: in f64 [one]
    multiplier: out f32 [m]
    target: out f32 [m]
    total: inout f32 [n]
    share: f32
    scale: f32
    """,
    items="m",
)
