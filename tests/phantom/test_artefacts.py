import numpy as np
import pytest

from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.phantom.artefacts import Artefacts, with_line_phase
from qsmengine.phantom.gre import SmoothCoil
from qsmengine.phantom.labels import HeadIndex, Region
from qsmengine.phantom.masks import MASK_ERRORS, wrong_mask

SHAPE = (30, 36, 24)
VOXEL = (1.0, 1.0, 1.0)


def vessels():
    regions = tuple(
        Region(n, name, "n/a", name, brain=True) for n, name in enumerate(("csf", "vein", "artery", "cortex"))
    )
    index = np.random.default_rng(3).integers(0, 4, SHAPE).astype(np.uint8)
    return HeadIndex(index, regions, Grid.from_voxel_size(SHAPE, VOXEL))


def test_flow_turns_the_phase_of_blood_alone(rng):
    head = vessels()
    phase = Artefacts(flow=0.5).flow_phase(head, rng)
    blood = np.isin(head.index, (1, 2))
    assert np.all(phase[~blood] == 0)
    assert phase[blood].std() == pytest.approx(0.5, rel=0.1)
    assert Artefacts().flow_phase(head, rng) is None


def test_line_phase_keeps_the_energy_and_grows_with_the_echo_time(rng):
    image = (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)).astype(np.complex64)
    lines = Artefacts(ghost=0.3).line_phase(SHAPE[1], rng)
    assert lines.std() == pytest.approx(0.3, rel=1e-3)
    errors = []
    for time in (0.004, 0.02):
        found = with_line_phase(image, lines, time)
        assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(image), rel=1e-4)
        errors.append(np.linalg.norm(found - image) / np.linalg.norm(image))
    assert errors[1] == pytest.approx(5 * errors[0], rel=0.1)
    assert errors[1] == pytest.approx(0.3, rel=0.2)
    assert Artefacts().line_phase(SHAPE[1], rng) is None


def test_one_phase_of_all_lines_is_a_phase_of_the_image(rng):
    image = (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)).astype(np.complex64)
    found = with_line_phase(image, np.full(SHAPE[1], 0.4, np.float32), 0.01)
    np.testing.assert_allclose(found, image * np.exp(0.2j), atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_an_uneven_coil_varies_more_and_stays_positive(seed):
    grid = Grid.from_voxel_size(SHAPE, VOXEL)
    even, uneven = (SmoothCoil.draw(np.random.default_rng(seed), u).on(grid) for u in (1.0, 4.0))
    assert uneven.sensitivity.min() > 0.4
    assert uneven.sensitivity.std() == pytest.approx(4 * even.sensitivity.std(), rel=1e-3)
    assert uneven.phase.std() == pytest.approx(2 * even.phase.std(), rel=1e-3)
    part = SmoothCoil.draw(np.random.default_rng(seed)).on(grid, slice(4, 9))
    np.testing.assert_array_equal(part.phase, even.phase[4:9])


def ball(radius):
    away = np.moveaxis(np.indices((40, 40, 40)), 0, -1) - 19.5
    return np.linalg.norm(away, axis=-1) < radius


@pytest.mark.parametrize("error", MASK_ERRORS)
def test_masks_get_the_error_asked_for(error):
    mask = ball(12)
    labels = np.where(ball(15) & ~mask, 24, np.where(mask, 2, 0)).astype(np.int16)
    labels[ball(18) & ~ball(15)] = 165
    names = {2: "left_cerebral_white_matter", 24: "cerebrospinal_fluid", 165: "cortical_bone"}
    found = wrong_mask(error, mask, labels, names, VOXEL, np.random.default_rng(2))
    if error == "large":
        assert np.all(found[mask])
        assert np.array_equal(
            found & ~mask, (sum(np.roll(mask, s, a) for s in (-1, 1) for a in range(3)) > 0) & ~mask
        )
    if error == "small":
        assert np.array_equal(
            ~found, wrong_mask("large", ~mask, labels, names, VOXEL, np.random.default_rng(2))
        )
    if error == "holes":
        assert not (found & ~mask).any()
        assert 0.01 < (mask & ~found).sum() / mask.sum() < 0.2
    if error == "dura":
        added = found & ~mask
        assert added[:, :, 25:].any()
        assert not added[:, :, :18].any()
        assert set(np.unique(labels[added])) == {24}


def test_an_unknown_mask_error_is_refused():
    with pytest.raises(UsageError, match="mask error"):
        wrong_mask("odd", ball(5), np.zeros((40,) * 3, np.int16), {}, VOXEL, np.random.default_rng(0))
