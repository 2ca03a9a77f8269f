"""Signatures of kernels/dipole.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

DIPOLE_KSPACE = Kernel(
    "dipole_kspace",
    "dipole.cu",
    """
    dipole: out f32 [nx ny nh]
    bx: f32
    by: f32
    bz: f32
    dkx: f32
    dky: f32
    dkz: f32
    nz_real: i64
    """,
    items="nx ny nh",
)
