"""Signatures of kernels/romeo*.cu and kernels/romeo.cpp."""

from __future__ import annotations

from qsmengine.backend.host import HostFunction
from qsmengine.backend.kernel import Kernel

ROMEO_WEIGHTS = Kernel(
    "romeo_weights",
    "romeo.cu",
    """
    phase: in f32 [nx ny nz]
    other: in f32 [nx ny nz]
    magnitude: in f32 [nx ny nz]
    mask: in u8 [nx ny nz]
    cost: out u8 [3 nx ny nz]
    ratio: f32
    bright: f32
    second: i32
    magnitude_weights: i32
    """,
    items="nx ny nz",
)

ROMEO_QUALITY = Kernel(
    "romeo_quality",
    "romeo.cu",
    """
    cost: in u8 [3 nx ny nz]
    quality: out f32 [nx ny nz]
    """,
    items="nx ny nz",
)

ROMEO_TEMPORAL = Kernel(
    "romeo_temporal",
    "romeo.cu",
    """
    phase: in f32 [n]
    reference: in f32 [n]
    mask: in u8 [n]
    unwrapped: out f32 [n]
    state: out u8 [n]
    ratio: f32
    limit: f32
    """,
    items="n",
)

ROMEO_FOREST = HostFunction(
    "romeo_forest",
    "romeo.cpp",
    """
    phase: in f32 [nx ny nz]
    cost: in u8 [3 nx ny nz]
    state: in u8 [nx ny nz]
    tree: out i64 [nodes]
    """,
)
"""The forest on the CPU; the next four kernels find the same one on a GPU. nodes = nx ny nz + 1."""

ROMEO_START = Kernel(
    "romeo_start",
    "romeo_forest.cu",
    """
    state: in u8 [n]
    tree: out i64 [n]
    first: out i64 [n]
    """,
    items="n",
)

ROMEO_FIRST = Kernel(
    "romeo_first",
    "romeo_forest.cu",
    """
    cost: in u8 [3 nx ny nz]
    state: in u8 [nx ny nz]
    tree: in i64 [nx ny nz]
    done: in i64 [32]
    first: inout i64 [nx ny nz]
    round: i32
    """,
    items="nx ny nz",
)

ROMEO_LINK = Kernel(
    "romeo_link",
    "romeo_forest.cu",
    """
    phase: in f32 [nx ny nz]
    state: in u8 [nx ny nz]
    tree: in i64 [nx ny nz]
    first: in i64 [nx ny nz]
    link: inout i64 [nx ny nz]
    done: inout i64 [32]
    round: i32
    """,
    items="nx ny nz",
)

ROMEO_FOLLOW = Kernel(
    "romeo_follow",
    "romeo_forest.cu",
    """
    state: in u8 [n]
    link: in i64 [n]
    done: in i64 [32]
    tree: inout i64 [n]
    first: inout i64 [n]
    round: i32
    """,
    items="n",
)

ROMEO_ROOTS = Kernel(
    "romeo_roots",
    "romeo_branch.cu",
    """
    phase: in f32 [n]
    state: in u8 [n]
    tree: in i64 [n]
    roots: out u8 [n]
    range: inout i64 [2]
    """,
    items="n",
)

ROMEO_RESET = Kernel(
    "romeo_reset",
    "romeo_branch.cu",
    """
    roots: in i64 [trees]
    number: inout i32 [n]
    median: out i64 [trees]
    counts: out i64 [trees]
    sine: out i64 [trees]
    lowest: i32
    """,
    items="trees",
)

ROMEO_COUNT = Kernel(
    "romeo_count",
    "romeo_branch.cu",
    """
    phase: in f32 [n]
    state: in u8 [n]
    tree: in i64 [n]
    number: in i32 [n]
    median: in i64 [trees]
    counts: inout i64 [trees]
    step: i32
    """,
    items="n",
)

ROMEO_NARROW = Kernel(
    "romeo_narrow",
    "romeo_branch.cu",
    """
    median: inout i64 [trees]
    counts: inout i64 [trees]
    step: i32
    """,
    items="trees",
)

ROMEO_MISFIT = Kernel(
    "romeo_misfit",
    "romeo_branch.cu",
    """
    phase: in f32 [n]
    other: in f32 [n]
    state: in u8 [n]
    tree: in i64 [n]
    number: in i32 [n]
    sums: inout i64 [trees]
    ratio: i64
    shift: i32
    """,
    items="n",
)

ROMEO_BRANCH = Kernel(
    "romeo_branch",
    "romeo_branch.cu",
    """
    median: in i64 [trees]
    cosine: in i64 [trees]
    sine: in i64 [trees]
    added: out i64 [trees]
    ratio: i64
    """,
    items="trees",
)

ROMEO_TURN = Kernel(
    "romeo_turn",
    "romeo_branch.cu",
    """
    phase: in f32 [n]
    state: in u8 [n]
    tree: in i64 [n]
    number: in i32 [n]
    added: in i64 [trees]
    unwrapped: out f32 [n]
    """,
    items="n",
)

ROMEO_CONTINUE = Kernel(
    "romeo_continue",
    "romeo_branch.cu",
    """
    phase: in f32 [n]
    state: in u8 [n]
    tree: in i64 [n]
    unwrapped: out f32 [n]
    """,
    items="n",
)
