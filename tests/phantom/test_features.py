from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.phantom import virtual_head
from qsmengine.phantom.features import REGIONS, add_features, label_image
from qsmengine.phantom.labels import load_head_index
from qsmengine.phantom.refine import refine_head
from qsmengine.phantom.resample import Resampler
from qsmengine.phantom.tissue import region_tissues, tissue_maps, tissue_table
from qsmengine.phantom.veins import vein_share

ALL = ("veins", "calcifications", "lesions")


def draw(features, seed=5, subject=1):
    head = load_head_index(subject)
    tissue = tissue_maps(head, 3.0, texture=0.0, rng=np.random.default_rng(0))
    return head, tissue, add_features(head, tissue, features, 3.0, np.random.SeedSequence(seed))


@pytest.fixture(scope="module")
def drawn():
    return draw(ALL)


def share_of(featured, name):
    return featured.shares[REGIONS[name].label]


def test_without_features_nothing_changes():
    head, tissue, featured = draw(())
    assert featured.head.index is head.index
    assert featured.tissue is tissue
    assert not featured.shares


def test_veins_are_thin_connected_and_fill_about_one_percent_of_the_brain(drawn):
    head, _, featured = drawn
    share = share_of(featured, "veins")
    brain = head.lookup([region.brain for region in head.regions], bool)
    assert not share[~brain].any()
    assert 0.003 < share.sum() / brain.sum() < 0.02
    pieces, count = ndimage.label(share > 0, np.ones((3, 3, 3)))
    assert np.bincount(pieces.ravel())[1:].max() > 0.3 * (share > 0).sum()
    assert count < 30
    thickness = ndimage.distance_transform_edt(share > 0.5)
    assert 1.0 < thickness.max() <= 3.0
    assert ((share > 0.05) & (share < 0.95)).sum() > (share >= 0.95).sum()


def test_calcifications_are_diamagnetic_with_little_signal(drawn):
    head, _, featured = drawn
    share, maps = share_of(featured, "calcifications"), featured.tissue
    core = share > 0.99
    assert 5 <= core.sum() < 400
    assert ndimage.label(share > 0.5)[1] == 5
    assert -2.5 <= maps.chi[core].min() <= maps.chi[core].max() <= -1.0
    assert maps.m0[core].max() < 0.4
    assert maps.r2star[core].min() > 150
    plexus = head.lookup([region.tissue == "choroid_plexus" for region in head.regions], bool)
    assert (core & plexus).any()


def test_lesions_lie_in_white_matter_above_its_susceptibility(drawn):
    head, tissue, featured = drawn
    share = share_of(featured, "lesions")
    white = head.lookup([region.label in (2, 41) for region in head.regions], bool)
    assert not share[~white].any()
    assert 200 < share.sum() < 6000
    core = (share > 0.99) & (featured.head.index == len(head.regions))
    assert (featured.tissue.chi[core] > tissue.chi[core]).all()
    assert (featured.tissue.m0[core] > tissue.m0[core]).all()


def test_voxels_mix_tissue_and_feature_by_share_and_rates_by_signal():
    _, tissue, featured = draw(("veins",))
    share, row = share_of(featured, "veins"), tissue_table()["vein"]
    partial = (share > 0.2) & (share < 0.8)
    f = share[partial].astype(np.float64)
    m0 = (1 - f) * tissue.m0[partial] + f * row.m0
    r2star = ((1 - f) * tissue.m0[partial] * tissue.r2star[partial] + f * row.m0 * row.r2star) / m0
    np.testing.assert_allclose(featured.tissue.m0[partial], m0, rtol=1e-5)
    np.testing.assert_allclose(featured.tissue.r2star[partial], r2star, rtol=1e-5)
    chi = (1 - f) * tissue.chi[partial] + f * row.chi
    np.testing.assert_allclose(featured.tissue.chi[partial], chi, atol=1e-6)


def test_a_feature_depends_on_the_seed_and_not_on_the_others(drawn):
    alone = share_of(draw(("lesions",))[2], "lesions")
    other = share_of(draw(("lesions",), seed=6)[2], "lesions")
    together = share_of(drawn[2], "lesions")
    rest = sum(share_of(drawn[2], name) for name in ("veins", "calcifications"))
    np.testing.assert_array_equal(together[rest == 0], alone[rest == 0])
    assert (other != alone).any()


def test_labels_of_features_are_named_and_found_in_large_voxels(drawn):
    _, _, featured = drawn
    resampler = Resampler(featured.head.grid, (3.0, 3.0, 3.0))
    labels = label_image(featured.head, featured.shares, resampler)
    shares = resampler.average(share_of(featured, "lesions"))
    assert (labels[shares >= 0.3] > 900).all()
    assert (labels[(shares > 0) & (shares < 0.3)] != 903).all()
    assert set(np.unique(labels)) >= {901, 902, 903}


@pytest.mark.parametrize("subject", [2, 3])
def test_other_heads_have_every_region_and_features(subject):
    head = virtual_head(subject=subject, voxel_size=(5.0, 5.0, 5.0), features=ALL)
    present = set(np.unique(head.labels[head.mask]))
    assert {2, 3, 10, 11, 12, 13, 41, 42, 49, 50, 51, 52} <= present
    assert {head.label_names[n] for n in (901, 902, 903)} == {
        "drawn_vein", "drawn_calcification", "drawn_lesion",
    }  # fmt: skip
    assert 0.05 < head.truth["total_field"].array[head.mask].std() < 0.5
    assert 0.004 < head.truth["local_field"].array[head.mask].std() < 0.03
    assert head.settings["Subject"] == subject
    assert head.settings["Features"] == list(ALL)


def test_voxels_that_are_mostly_feature_take_all_its_properties(drawn):
    _, _, featured = drawn
    tissues = region_tissues(featured.head)
    for name, region in REGIONS.items():
        core = featured.head.index == featured.head.regions.index(region)
        assert core.any()
        assert (share_of(featured, name)[core] > 0.2).all()
        assert tissues[featured.head.regions.index(region)] is tissue_table()[region.tissue]


def test_unknown_features_and_subjects_are_refused_by_name():
    with pytest.raises(UsageError, match=r"features: .*calcifications"):
        virtual_head(features=("haemorrhages",))
    with pytest.raises(UsageError, match="features"):
        virtual_head(features="veins")
    with pytest.raises(UsageError, match="no head 4"):
        virtual_head(subject=4)


@pytest.mark.parametrize("parts", [2, 3])
def test_veins_drawn_on_a_finer_grid_are_the_same_veins(parts):
    away = np.moveaxis(np.indices((44, 44, 44)), 0, -1) - 21.5
    brain = np.linalg.norm(away, axis=-1) < 20
    ventricles = np.linalg.norm(away, axis=-1) < 4
    coarse, fine = (vein_share(brain, brain, ventricles, np.random.default_rng(4), p) for p in (1, parts))
    assert fine.shape == tuple(n * parts for n in brain.shape)
    averaged = fine.reshape(44, parts, 44, parts, 44, parts).mean(axis=(1, 3, 5))
    assert averaged.sum() == pytest.approx(coarse.sum(), rel=0.15)
    assert np.corrcoef(averaged.ravel(), coarse.ravel())[0, 1] > 0.9
    assert not averaged[~brain].any()


def test_features_of_a_finer_head_have_the_volumes_of_the_label_grid():
    head = load_head_index(1)
    index = head.index[40:120, 60:180, 60:160]
    small = replace(head, index=index, grid=Grid.from_voxel_size(index.shape, (1.0, 1.0, 1.0)))
    fine = refine_head(small, 2, 0.0)
    volumes = []
    for each in (small, fine):
        tissue = tissue_maps(each, 3.0, texture=0.0, rng=np.random.default_rng(0))
        found = add_features(each, tissue, ("lesions",), 3.0, np.random.SeedSequence(3), canvas=small)
        assert found.shares[903].shape == small.index.shape
        volumes.append(found.shares[903].sum())
    assert volumes[1] == pytest.approx(volumes[0], rel=0.1)
