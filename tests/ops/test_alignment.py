"""Agreement of aligned images, and the check that refuses wrong pairs; transforms are known, not searched."""

import sys
from typing import Any, cast

import numpy as np
import pytest

from qsmengine import register
from qsmengine.data import Map
from qsmengine.errors import DeviceError, InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.ops.agreement import agreement, head_mask, working_grid
from qsmengine.ops.alignment import Limits, align
from qsmengine.ops.transforms import Transform
from tests.ops.heads import GRID, SHAPE, head, motion, moved, texture

MOTION = motion((9.0, -8.0, 9.0), (9.0, -8.0, 9.0))


def known(matrix):
    """Return a search that finds `matrix` first, and its reflection at x = 0 for the mirror image."""
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    found = iter([matrix, mirror @ matrix @ mirror])
    return lambda *_: Transform(next(found))


@pytest.fixture(scope="module")
def pair():
    tissue = texture(np.random.default_rng(8))
    return head(tissue, 1.5), moved(head(tissue, -1.2), MOTION)


def test_one_head_in_two_contrasts_agrees_where_the_transform_is_right(pair):
    right = agreement(pair[0], GRID, pair[1], GRID, Transform(MOTION))
    off = agreement(pair[0], GRID, pair[1], GRID, Transform(motion((0, 0, 0), (8.0, 0.0, 0.0)) @ MOTION))
    assert right.overlap > 0.95
    assert right.edges > 0.8 > off.edges
    assert right.information > off.information + 0.02


def test_two_textures_agree_by_chance(pair, rng):
    found = agreement(pair[0], GRID, head(texture(rng), -1.2), GRID, Transform(np.eye(4)))
    assert 0.15 < found.edges < 0.55


def test_a_right_pair_passes_and_a_wrong_one_is_refused(pair, rng):
    found = align(pair[0], GRID, pair[1], GRID, find=known(MOTION))
    assert not found.problems
    assert found.mirror > 1.5
    other = align(pair[0], GRID, moved(head(texture(rng), -1.2), MOTION), GRID, find=known(MOTION))
    assert any("edges" in problem for problem in other.problems)
    assert any("two heads, or one of them is mirrored" in problem for problem in other.problems)


def test_a_mirrored_image_is_refused_for_its_better_mirror_image():
    tissue = texture(np.random.default_rng(9))
    tissue = 0.7 * tissue + 0.3 * tissue[::-1]  # nearly symmetric, as a head is
    image, flipped = head(tissue, 1.5), head(tissue, -1.2)[::-1].copy()
    found = align(image, GRID, flipped, GRID, find=known(np.eye(4)), limits=Limits(edges=0.0))
    assert found.mirror < 1.0
    assert [problem for problem in found.problems if "mirrored" in problem]
    right = align(image, GRID, head(tissue, -1.2), GRID, find=known(np.eye(4)))
    assert right.mirror > 1.1


def test_templates_are_not_compared_with_their_mirror_image(pair):
    calls = []

    def find(*arguments):
        calls.append(arguments)
        return Transform(MOTION)

    assert align(pair[0], GRID, pair[1], GRID, "affine", find=find).mirror is None
    assert len(calls) == 1


def test_the_search_starts_where_the_images_agree_better(pair):
    starts = []

    def find(_f, _fg, _m, _mg, _kind, start):
        starts.append(start)
        return Transform(MOTION)

    far = GRID.replace(affine=motion((0, 0, 0), (400.0, 0.0, 0.0)) @ GRID.affine)
    align(pair[0], GRID, pair[0], GRID, "affine", find=find)
    with pytest.raises(InputError, match="too few"):
        align(pair[0], GRID, pair[0], far, "affine", find=find)
    np.testing.assert_array_equal(starts[0], np.eye(4))
    np.testing.assert_allclose(starts[1][:3, 3], [400, 0, 0], atol=1e-6)


def test_heads_are_found_with_their_dark_parts(pair):
    mask = head_mask(pair[0])
    assert mask[tuple(n // 2 for n in SHAPE)]
    assert not mask[0].any()
    assert not head_mask(np.zeros(SHAPE, np.float32)).any()


def test_working_grids_keep_the_field_of_view():
    grid = Grid((40, 41, 12), motion((10, 20, 30), (1, 2, 3)) @ np.diag([1.0, 1.5, 5.0, 1.0]))
    coarse = working_grid(grid, 3.0)
    assert coarse.shape == (13, 20, 12)
    for corner in ((0, 0, 0), (1, 1, 1)):
        ends = [g.affine @ [*(np.array(corner) * g.shape - 0.5), 1.0] for g in (grid, coarse)]
        np.testing.assert_allclose(ends[0], ends[1], atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image * 0, "every voxel is 0"),
        (lambda image: np.where(image > 1, np.nan, image), "not finite"),
        (lambda image: image[:, :, :8], r"shape \(44, 50, 8\)"),
    ],
)
def test_images_that_show_nothing_are_refused(pair, change, message):
    with pytest.raises(InputError, match=f"moving image: .*{message}"):
        align(pair[0], GRID, change(pair[1]), GRID, find=known(MOTION))


def test_thin_slabs_sheared_voxels_and_unknown_kinds_are_refused(pair):
    thin = GRID.replace(shape=(44, 50, 8))
    with pytest.raises(InputError, match="at least 16"):
        align(pair[0], GRID, pair[1][:, :, :8], thin, find=known(MOTION))
    sheared = GRID.affine.copy()
    sheared[0, 1] += 0.4
    with pytest.raises(InputError, match="not perpendicular"):
        align(pair[0], GRID.replace(affine=sheared), pair[1], GRID, find=known(MOTION))
    with pytest.raises(UsageError, match="rigid, affine, syn"):
        align(pair[0], GRID, pair[1], GRID, cast("Any", "elastic"), find=known(MOTION))


def test_the_public_function_names_the_missing_extra(pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "ants", None)
    with pytest.raises(DeviceError, match=r"qsmengine\[registration\]"):
        register(Map(pair[1], "1", GRID), Map(pair[0], "1", GRID))
