"""Signatures of kernels/transit.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

EXPONENTIAL_TRANSIT = Kernel(
    "exponential_transit",
    "transit.cu",
    """
    change: in f32 [frame n]
    mask: in u8 [n]
    artery: in f32 [pieces 4]
    starts: in f32 [start 2]
    flow: out f32 [n]
    transit: out f32 [n]
    delay: out f32 [n]
    misfit: out f32 [n]
    power: out f32 [n]
    flow_variance: out f32 [n]
    transit_variance: out f32 [n]
    delay_variance: out f32 [n]
    corner: f32
    shortest: f32
    longest: f32
    earliest: f32
    latest: f32
    margin: i32
    iterations: i32
    """,
    items="n",
)
