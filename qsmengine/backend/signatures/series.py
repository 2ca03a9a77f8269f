"""Signatures of kernels/series.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

SERIES_TO_PLANES = Kernel(
    "series_to_planes",
    "series.cu",
    """
    series: in f32 [n volumes]
    planes: out f32 [volumes n]
    """,
    items="n volumes",
)

SERIES_MEDIAN = Kernel(
    "series_median",
    "series.cu",
    """
    planes: inout f32 [volumes n]
    median: out f32 [n]
    positive: out u8 [n]
    """,
    items="volumes n",
)
