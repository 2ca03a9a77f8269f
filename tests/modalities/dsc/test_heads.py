"""The whole chain on virtual heads: the artery lies in an artery, and perfusion is that of the head."""

import numpy as np
import pytest

from qsmengine.backend.device import Device
from qsmengine.modalities.dsc.run import brain_mask, run_dsc
from qsmengine.phantom.anatomy import head_anatomy
from qsmengine.phantom.bolus import Bolus
from qsmengine.phantom.drawing import Scene
from qsmengine.phantom.dsc_drawing import simulate
from qsmengine.phantom.gre import smooth_coil
from qsmengine.pipeline.configuration.config import load_config

CPU = Device("cpu", threads=2)
GREY, WHITE = (3, 42), (2, 41)


def drawn(number, edge=3.0):
    """Series, truth and anatomy of a head with its own arteries and noise; SNR 100, voxels of `edge` mm."""
    anatomy = head_anatomy(
        subject=1 + number % 3, voxel_size=(edge,) * 3, seed=number, deformation=2.0 if number > 2 else 0.0
    )
    coil = smooth_coil(anatomy.grid, np.random.default_rng(number))
    scene = Scene(anatomy, {}, coil, anatomy.grid, 100.0, np.random.default_rng(100 + number), ())
    return *simulate(scene), anatomy


def fraction_of_artery(series, truth):
    """Fraction of artery in the chosen voxels, which are the same in two runs."""
    mask, _ = brain_mask(series, CPU)
    config = load_config(settings=["deconvolution=csvd", "leakage=none"])
    first, again = (run_dsc(series, config, CPU, mask=mask)["aif_mask"] > 0 for _ in range(2))
    np.testing.assert_array_equal(first, again)
    return truth["artery"].array[first]


def away_from_vessels(truth, anatomy):
    return (truth["artery"].array == 0) & (truth["vein"].array == 0) & anatomy.mask


@pytest.fixture(scope="module")
def coarse():
    """A head with 4 mm voxels, larger than its arteries."""
    return drawn(2, 4.0)


def test_the_artery_lies_in_an_artery_and_is_the_same_at_every_run(coarse):
    series, truth, _ = coarse
    share = fraction_of_artery(series, truth)
    assert share.size > 0
    assert share.min() > 0.5


def assert_perfusion_of_grey_and_white_matter(found, truth, anatomy):
    for labels in (GREY, WHITE):
        where = np.isin(anatomy.labels, labels) & away_from_vessels(truth, anatomy)
        for name in ("cbv", "cbf"):
            assert found[name][where].mean() == pytest.approx(truth[name].array[where].mean(), rel=0.12)


def test_flow_with_the_true_artery_is_within_twelve_percent_in_grey_and_white_matter(coarse):
    series, truth, anatomy = coarse
    found = run_dsc(series, load_config(), CPU, mask=anatomy.mask, aif=Bolus().arterial(series.times))
    assert_perfusion_of_grey_and_white_matter(found, truth, anatomy)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "computed"), [(3, True), (5, True), (5, False), (7, True)])
def test_artery_and_perfusion_of_deformed_heads(number, computed):
    series, truth, anatomy = drawn(number)
    mask = brain_mask(series, CPU)[0] if computed else anatomy.mask
    found = run_dsc(series, load_config(), CPU, mask=mask)
    assert truth["artery"].array[found["aif_mask"] > 0].min() > 0.85
    assert_perfusion_of_grey_and_white_matter(found, truth, anatomy)
