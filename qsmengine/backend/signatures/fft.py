"""Signatures of kernels/fft.cpp."""

from __future__ import annotations

from qsmengine.backend.host import HostFunction

FFT_FORWARD = HostFunction(
    "fft_forward",
    "fft.cpp",
    """
    x: in f32 [nx ny nz]
    spectrum: out c64 [nx ny nh]
    radices: in i32 [3 most]
    twiddles: in c64 [total]
    halves: in c64 [nh]
    threads: i32
    """,
)

FFT_INVERSE = HostFunction(
    "fft_inverse",
    "fft.cpp",
    """
    spectrum: inout c64 [nx ny nh]
    x: out f32 [nx ny nz]
    radices: in i32 [3 most]
    twiddles: in c64 [total]
    halves: in c64 [nh]
    threads: i32
    """,
)
