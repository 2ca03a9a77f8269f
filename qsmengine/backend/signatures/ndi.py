"""Signatures of kernels/ndi.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

NDI_RESIDUAL = Kernel(
    "ndi_residual",
    "ndi.cu",
    """
    ax: inout f32 [nx ny nz]
    f: in f32 [nx ny nz]
    w2: in f32 [nx ny nz]
    radians: f32
    """,
    items="nx ny nz",
)

NDI_UPDATE = Kernel(
    "ndi_update",
    "ndi.cu",
    """
    x: inout c64 [nx ny nh]
    residual: inout c64 [nx ny nh]
    response: in f32 [nx ny nh]
    step: f32
    alpha: f32
    scale: f32
    """,
    items="nx ny nh",
)
