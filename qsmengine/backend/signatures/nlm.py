"""Signatures of kernels/nlm.cu, nlm_pairs.cu, nlm_packed.cu and nlm_lmmse.cu."""

from __future__ import annotations

from qsmengine.backend.kernel import Kernel

ROW_SLACK = 12
"""Voxels after each padded row that the kernels may read: they work in whole vectors, on up to six shifts."""

PAIRS_COLUMNS = 16
"""Columns of nlm_pairs come in multiples of this number, the most that a vector holds."""

TILE_DEPTH = 48
"""Largest number of planes along x in a tile."""

PACKED_ROWS = 6
"""Rows per lane of nlm_packed; the number of padded rows is a multiple of it."""

PACKED_SLACK = 4
"""Rows after those that nlm_packed may read."""

NO_CANDIDATE = 1e30
"""Offset with which nlm_packed marks a voxel that is not a candidate."""

LMMSE_COMPONENTS = 32
"""Largest number of components of the kernel nlm_lmmse."""

_IMAGES = """\
guide: in f32 [components px py pz]
values: in f32 [components px py pz]
"""

_MAPS = """\
precision: in f32 [maps px py pz]
candidate: in f32 [px py pz]
"""

_RESULT = """\
mask: in u8 [nx ny nz]
filtered: out f32 [components nx ny nz]
"""

_SEARCH = """\
search_x: i32
search_y: i32
search_z: i32
"""

_MEANS = f"""\
{_RESULT}\
total: out f32 [nx ny nz]
peak: out f32 [nx ny nz]
scale: f32
offset: f32
most: f32
{_SEARCH}\
patch_x: i32
patch_y: i32
patch_z: i32
self_peak: i32
"""

NLM = Kernel("nlm", "nlm.cu", _IMAGES + _MAPS + _MEANS, items="nx ny nz")

NLM_PAIRS = Kernel(
    "nlm_pairs", "nlm_pairs.cu", _IMAGES + "reach: in f32 [px py pz]\n" + _MEANS, items="nx ny nz"
)

NLM_PACKED = Kernel(
    "nlm_packed",
    "nlm_packed.cu",
    f"""\
guide: in f32 [packs px py pz pack] align 16
values: in f32 [packs px py pz pack] align 16
precision: in f32 [maps px py pz]
offset: in f32 [px py pz]
{_RESULT}\
total: out f32 [nx ny nz]
scale: f32
most: f32
plain: i32
{_SEARCH}""",
    items="nx ny nz",
)

NLM_LMMSE = Kernel(
    "nlm_lmmse",
    "nlm_lmmse.cu",
    _IMAGES + _MAPS + _RESULT + "scale: f32\nmost: f32\n" + _SEARCH,
    items="nx ny nz",
)
