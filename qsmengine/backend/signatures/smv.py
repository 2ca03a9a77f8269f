"""Signatures of kernels/smv.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

SMV_SPECTRA = Kernel(
    "smv_spectra",
    "smv.cu",
    """
    field: in c64 [nx ny nh]
    mask: in c64 [nx ny nh]
    mean: in f32 [nx ny nh]
    sphere: in f32 [nx ny nh]
    mean_field: out c64 [nx ny nh]
    mean_mask: out c64 [nx ny nh]
    scale: f32
    """,
    items="nx ny nh",
)

SMV_SELECT = Kernel(
    "smv_select",
    "smv.cu",
    """
    field: in f32 [nx ny nz]
    mean_field: in f32 [nx ny nz]
    mean_mask: in f32 [nx ny nz]
    filtered: inout f32 [nx ny nz]
    inside: inout f32 [nx ny nz]
    full: f32
    """,
    items="nx ny nz",
)

SMV_DECONVOLVE = Kernel(
    "smv_deconvolve",
    "smv.cu",
    """
    spectrum: inout c64 [nx ny nh]
    mean: in f32 [nx ny nh]
    threshold: f32
    scale: f32
    """,
    items="nx ny nh",
)
