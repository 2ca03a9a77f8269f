import numpy as np
from scipy import ndimage

from qsmengine.phantom.labels import load_head_index, load_head_labels
from qsmengine.phantom.tissue import region_tissues, tissue_maps, tissue_table


def test_head_is_ras_at_one_millimetre_with_left_on_the_left():
    labels, grid = load_head_labels()
    assert labels.shape == grid.shape
    np.testing.assert_allclose(grid.affine[:3, :3], np.eye(3))
    left, right = (np.nonzero(labels == label)[0].mean() for label in (12, 51))
    assert left + 30 < right
    front, back = np.nonzero(labels == 506)[1].mean(), np.nonzero(labels == 8)[1].mean()
    assert front > back + 50
    assert np.nonzero(labels == 3)[2].mean() > np.nonzero(labels == 8)[2].mean() + 30


def test_brain_mask_is_one_solid_piece_around_every_brain_label():
    head = load_head_index()
    mask = head.lookup([region.brain for region in head.regions], bool)
    assert 1.0e6 < mask.sum() < 1.7e6
    assert ndimage.label(mask)[1] == 1
    assert not (ndimage.binary_fill_holes(mask) & ~mask).any()
    cortex = head.lookup([region.tissue == "cortex" for region in head.regions], bool)
    assert mask[cortex].all()


def test_sinuses_and_ear_canals_are_air_inside_the_head():
    labels, _ = load_head_labels()
    axial = np.stack([ndimage.binary_fill_holes(labels[:, :, z] > 0) for z in range(labels.shape[2])], axis=2)
    cavities = axial & (labels == 0)
    assert cavities.sum() > 20_000
    assert cavities[:, :, 90:180].sum() > 10_000


def test_every_region_has_a_tissue_within_the_literature_ranges():
    tissues = {
        region.name: tissue
        for region, tissue in zip(load_head_index().regions, region_tissues(load_head_index()), strict=True)
    }
    assert 0.10 < tissues["pallidum"].chi < 0.20
    assert 0.03 < tissues["caudate"].chi <= tissues["putamen"].chi < tissues["pallidum"].chi
    assert -0.05 < tissues["cerebral_white_matter"].chi < 0 <= tissues["cerebral_cortex"].chi < 0.03
    assert tissues["air"].chi == 9.41
    assert tissues["cortical_bone"].chi < -1.5
    assert tissues["air"].m0 == 0
    for tissue in tissues.values():
        assert 0 <= tissue.fa < 1
        assert 0 <= tissue.growth <= 1
        assert tissue.r2 <= tissue.r2star or tissue.r2star == 0


def test_r2star_follows_the_measured_growth_with_field_strength():
    """White matter 53 ms at 3 T and 27 ms at 7 T; putamen 32 ms and 16 ms (Peters 2007), within 15 %."""
    table = tissue_table()
    for name, at3, at7 in (("white_matter", 53.2, 26.8), ("putamen", 31.5, 16.1), ("cortex", 66.0, 33.2)):
        for field, t2star in ((3.0, at3), (7.0, at7)):
            assert abs(1e3 / table[name].r2star_at(field) / t2star - 1) < 0.15


def test_texture_varies_brain_and_nothing_else(rng):
    head = load_head_index()
    smooth = tissue_maps(head, 3.0, texture=0.0, rng=rng)
    varied = tissue_maps(head, 3.0, texture=0.1, rng=rng)
    brain = head.lookup([region.brain for region in head.regions], bool)
    white = head.lookup([region.tissue == "white_matter" for region in head.regions], bool)
    assert len(np.unique(smooth.chi[white])) == 1
    np.testing.assert_array_equal(smooth.chi[~brain], varied.chi[~brain])
    assert 0.003 < varied.chi[white].std() < 0.007
    assert 0.08 < (varied.r2star[white] / smooth.r2star[white]).std() < 0.12
