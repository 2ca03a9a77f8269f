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

FFT_FILTER = HostFunction(
    "fft_filter",
    "fft.cpp",
    """
    x: in f32 [nx ny nz]
    response: in f32 [nx ny nh]
    spectrum: out c64 [nx ny nh]
    out: out f32 [nx ny nz]
    radices: in i32 [3 most]
    twiddles: in c64 [total]
    halves: in c64 [nh]
    scale: f32
    threads: i32
    """,
)

FFT_TV_HARMONIC = HostFunction(
    "fft_tv_harmonic",
    "fft.cpp",
    """
    gradient_image: in f32 [nx ny nz]
    data_image: in f32 [nx ny nz]
    harmonic_image: in f32 [nx ny nz]
    gradient: out c64 [nx ny nh]
    data: out c64 [nx ny nh]
    harmonic: out c64 [nx ny nh]
    gradient_result: out f32 [nx ny nz]
    data_result: out f32 [nx ny nz]
    harmonic_result: out f32 [nx ny nz]
    response: in f32 [nx ny nh]
    ex: in f32 [nx]
    ey: in f32 [ny]
    ez: in f32 [nh]
    mu1: f32
    mu2: f32
    mu3: f32
    pull: f32
    relax: f32
    scale: f32
    radices: in i32 [3 most]
    twiddles: in c64 [total]
    halves: in c64 [nh]
    threads: i32
    """,
)
