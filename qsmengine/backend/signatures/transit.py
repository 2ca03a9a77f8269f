"""Signatures of kernels/transit.cu and kernels/gamma_transit.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

TRANSIT_FIT = Kernel(
    "transit_fit",
    "transit.cu",
    """
    change: in f32 [frame n]
    mask: in u8 [n]
    nodes: in f32 [row node 4]
    starts: in i32 [start 2]
    middle: in f32 [n]
    arrival: in f32 [n]
    flow: out f32 [n]
    transit: out f32 [n]
    delay: out f32 [n]
    misfit: out f32 [n]
    power: out f32 [n]
    flow_variance: out f32 [n]
    transit_variance: out f32 [n]
    delay_variance: out f32 [n]
    lowest: f32
    width: f32
    held: f32
    tied: f32
    shortest: f32
    longest: f32
    earliest: f32
    latest: f32
    margin: i32
    iterations: i32
    """,
    items="n",
)

GAMMA_TRANSIT = Kernel(
    "gamma_transit",
    "gamma_transit.cu",
    """
    change: in f32 [frame n]
    mask: in u8 [n]
    cosine: in f32 [period]
    sine: in f32 [period]
    re: in f32 [bins]
    im: in f32 [bins]
    noise: in f32 [n]
    scratch: inout f32 [room]
    flow: inout f32 [n]
    transit: inout f32 [n]
    delay: inout f32 [n]
    shape: inout f32 [n]
    dispersion: inout f32 [n]
    misfit: inout f32 [n]
    flow_variance: inout f32 [n]
    transit_variance: inout f32 [n]
    delay_variance: inout f32 [n]
    shape_mean: f32
    shape_weight: f32
    dispersion_mean: f32
    dispersion_weight: f32
    dispersed: f32
    shortest: f32
    longest: f32
    earliest: f32
    latest: f32
    iterations: i32
    begin: i64
    end: i64
    """,
    items="n",
)
