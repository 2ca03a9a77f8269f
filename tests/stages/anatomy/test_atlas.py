"""Atlases in a head: start, channels, check, and the warp itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from qsmengine.errors import InputError
from qsmengine.ops.transforms import Transform, label_fractions, most_of
from qsmengine.stages.anatomy.atlas import (
    CIT168,
    SHARED,
    SIDES,
    THALAMUS,
    Head,
    nuclei,
    place_atlas,
    side_of,
    starting_matrix,
)
from tests.stages.anatomy.template_head import POSE, chi, head, straight, structures, template, thinned


def unwarped(seen):
    """Function that keeps the start and the channels."""

    def find(channels, fixed_grid, moving_grid, start):
        seen.update(channels=channels, fixed=fixed_grid, moving=moving_grid)
        return Transform(start)

    return find


def test_the_centres_of_the_structures_place_the_template():
    found = starting_matrix(head(), template())
    np.testing.assert_allclose(found, np.linalg.inv(POSE), atol=0.02)


def test_the_channels_show_the_same_and_the_check_accepts_them():
    seen = {}
    placed = place_atlas(head(), template(), find=unwarped(seen))
    for one in seen["channels"]:
        points = np.moveaxis(np.indices(seen["moving"].shape), 0, -1) @ seen["moving"].affine[:3, :3].T
        points = placed.transform.back(points + seen["moving"].affine[:3, 3])
        to_voxels = np.linalg.inv(seen["fixed"].affine)
        where = points @ to_voxels[:3, :3].T + to_voxels[:3, 3]
        ours = map_coordinates(one.fixed, np.moveaxis(where, -1, 0), order=1, mode="nearest")
        inner = (slice(12, -12),) * 3
        assert np.corrcoef(ours[inner].ravel(), one.moving[inner].ravel())[0, 1] > 0.9
    assert set(placed.overlap) == {(one.name, side) for one in SHARED for side in SIDES}
    assert min(placed.overlap.values()) > 0.9
    assert [placed.problem(side) for side in SIDES] == ["", ""]


def test_a_side_on_which_network_and_atlas_disagree_is_not_reliable():
    placed = place_atlas(head(thinned(52)), template(), find=straight)
    assert placed.overlap["pallidum", "right"] < 0.5
    assert "pallidum" in placed.problem("right")
    assert placed.problem("left") == ""


def test_a_structure_that_the_network_has_not_found_is_named():
    labels = structures()
    labels[labels == 12] = 0
    with pytest.raises(InputError, match="no left putamen"):
        place_atlas(head(labels), template(), find=unwarped({}))


def test_an_empty_map_is_refused():
    one = head()
    empty = Head(one.image, one.structures, one.grid, one.to_image, np.zeros_like(one.chi), one.chi_grid)
    with pytest.raises(InputError, match="0 everywhere"):
        place_atlas(empty, template(), find=unwarped({}))


def test_nuclei_are_those_that_the_network_does_not_have():
    found = nuclei(CIT168, template().atlases[CIT168])
    assert {5, 6, 7, 8, 9, 16, 105, 116} <= set(found)
    assert not {1, 2, 3, 101, 102, 103} & set(found)
    assert nuclei(THALAMUS, template().atlases[THALAMUS]) == tuple(range(1, 15))
    assert [side_of(CIT168, n) for n in (16, 101)] == ["left", "right"]
    assert [side_of(THALAMUS, n) for n in (7, 8)] == ["left", "right"]


@pytest.mark.slow
def test_the_susceptibility_map_shows_where_the_nuclei_are():
    """The map's nuclei are displaced by up to 3 mm against the T1-weighted image and the structures."""
    pytest.importorskip("ants", reason="antspyx is not installed")
    rng = np.random.default_rng(2)
    shape = template().grid.shape
    parts = [gaussian_filter(rng.standard_normal(shape), 8) for _ in range(3)]
    field = np.stack([1.5 * part / part.std() for part in parts])
    where = np.indices(shape) + field
    values = map_coordinates(chi(), where, order=1, mode="nearest") + 0.01 * rng.standard_normal(shape)
    one = head()
    warped = Head(one.image, one.structures, one.grid, one.to_image, values.astype(np.float32), one.chi_grid)
    placed = place_atlas(warped, template())
    true = map_coordinates(template().atlases[CIT168], where, order=0, mode="nearest")
    assert overlap(Transform(starting_matrix(one, template())), true) < 0.65
    assert overlap(placed.transform, true) > 0.65


def overlap(transform, true):
    """Return the mean Dice overlap of red nucleus and reticulate nigra under a transform."""
    numbers = (8, 9, 108, 109)
    labels = template().atlases[CIT168]
    found = most_of(label_fractions(labels, template().grid, head().chi_grid, transform, numbers), numbers)
    both = [(found == n, true == n) for n in numbers]
    return np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in both])
