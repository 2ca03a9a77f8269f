"""T1-weighted and FLAIR images of virtual heads: contrast, pose, partial volume, noise and files."""

import json

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from qsmengine.errors import InputError, UsageError
from qsmengine.io.nifti import read_image
from qsmengine.phantom import virtual_head, write_bids
from qsmengine.phantom.anatomy import head_anatomy
from qsmengine.phantom.cohort import CohortSettings, write_cohort
from qsmengine.phantom.head import tilted_grid
from qsmengine.phantom.structural import (
    CONTRASTS,
    StructuralSettings,
    place,
    rotation_matrix,
    structural_signal,
    tissue_fractions,
)
from qsmengine.phantom.structural_drawing import DRAWING

VOXEL = (5.0, 5.0, 5.0)


@pytest.fixture(scope="module")
def head():
    return virtual_head(voxel_size=VOXEL, modalities=("t1w",), features=("lesions",), seed=3)


@pytest.fixture(scope="module")
def anatomy():
    return head_anatomy(voxel_size=VOXEL, texture=0.0, features=("lesions",), seed=3)


def test_tissues_have_the_contrast_of_their_sequence(anatomy):
    parts = tissue_fractions(anatomy)
    lesion = parts["lesion"] > 0.99
    inside = {name: (parts[name] > 0.99) & ~lesion for name in ("GM", "WM", "CSF")} | {"lesion": lesion}
    level = {
        suffix: {name: float(np.abs(structural_signal(anatomy, contrast))[where].mean())
                 for name, where in inside.items()}
        for suffix, contrast in CONTRASTS.items()
    }  # fmt: skip
    t1, flair = level["T1w"], level["FLAIR"]
    assert t1["WM"] > t1["lesion"] > t1["GM"] > 3 * t1["CSF"]
    assert flair["lesion"] > 1.2 * flair["GM"] > 1.2 * flair["WM"] > 5 * flair["CSF"]


def test_a_voxel_mixes_its_tissues_in_their_fractions(anatomy):
    settings = StructuralSettings(voxel_size=(4.0, 5.0, 6.0))
    placed = place(anatomy, anatomy.grid, settings)
    parts = {name: placed.average(part) for name, part in tissue_fractions(anatomy).items()}
    brain = placed.average(anatomy.head.lookup([region.brain for region in anatomy.head.regions]))
    np.testing.assert_allclose(parts["GM"] + parts["WM"] + parts["CSF"], brain, atol=1e-5)
    volume = placed.grid.voxel_volume
    for name, part in tissue_fractions(anatomy).items():
        assert parts[name].sum(dtype=float) * volume == pytest.approx(part.sum(dtype=float), rel=0.02)


def test_the_motion_leads_from_the_echoes_to_the_same_tissue(anatomy, rng):
    gre = tilted_grid(anatomy.grid, (0.2, -0.3, 0.93))
    settings = StructuralSettings(voxel_size=(1.5, 2.0, 1.0), rotation=(15.0, -10.0, 12.0), shift=(9, -8, 9))
    placed = place(anatomy, gre, settings)
    points = rng.uniform(20, 140, (20, 3))
    in_gre = points @ anatomy.head.grid.affine[:3, :3].T + anatomy.head.grid.affine[:3, 3]
    tilt = gre.affine @ np.linalg.inv(anatomy.grid.affine)
    in_gre = in_gre @ tilt[:3, :3].T + tilt[:3, 3]
    in_image = in_gre @ placed.motion[:3, :3].T + placed.motion[:3, 3]
    voxels = np.linalg.solve(placed.grid.affine, np.c_[in_image, np.ones(20)].T)
    np.testing.assert_allclose((placed.to_labels @ voxels)[:3].T, points, atol=1e-9)
    middle = (np.array(placed.grid.shape) - 1) / 2
    assert (np.abs(voxels[:3].T - middle) < middle + 0.5).all()


def test_rotations_are_right_handed_about_each_axis_in_turn():
    np.testing.assert_allclose(rotation_matrix((0, 0, 90)) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_matrix((90, 0, 0)) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation_matrix((0, 90, 0)) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    product = rotation_matrix((0, 0, 7)) @ rotation_matrix((0, 5, 0)) @ rotation_matrix((3, 0, 0))
    np.testing.assert_allclose(rotation_matrix((3, 5, 7)), product, atol=1e-12)


def test_tissue_lies_where_the_motion_leads_from_the_echoes(head):
    series = head.series("t1w")
    placed = series.placement
    labels = head.truth["structural_labels"].array
    to_gre = np.linalg.inv(head.grid.affine) @ np.linalg.inv(placed.motion) @ placed.grid.affine
    brought = affine_transform(head.labels, to_gre[:3, :3], to_gre[:3, 3], labels.shape, order=0)
    inside = head.truth["WM"].array > 0.9
    assert (brought[inside] == labels[inside]).mean() > 0.8


def test_noise_and_profile_have_the_requested_size(head, rng):
    clean = head.series("t1w")
    noisy = DRAWING.add_noise(clean, 20.0, head.mask, rng)
    for suffix, image in noisy.images.items():
        apart = (image - clean.images[suffix])[clean.reference]
        level = clean.images[suffix][clean.reference].mean() / 20
        assert apart.std() == pytest.approx(level, rel=0.1)
    white = head.truth["WM"].array > 0.95
    assert clean.images["T1w"][white].std() > 0.05 * clean.images["T1w"][white].mean()


def test_a_subject_is_written_with_its_images_and_truth(head, tmp_path):
    folder = write_bids(head, tmp_path)
    for suffix, image in head.series("t1w").images.items():
        found = read_image(folder / "anat" / f"sub-01_{suffix}.nii.gz")
        np.testing.assert_array_equal(found.array, image)
        sidecar = json.loads((folder / "anat" / f"sub-01_{suffix}.json").read_text())
        assert np.linalg.det(sidecar["SimulatedMotion"]) == pytest.approx(1.0)
    truth = tmp_path / "derivatives" / "truth" / "sub-01" / "anat"
    for name in ("label-GM_probseg", "label-lesion_probseg", "dseg"):
        assert read_image(truth / f"sub-01_space-T1w_{name}.nii.gz").grid.matches(found.grid)


def test_sessions_of_a_cohort_have_images_and_faults(head, tmp_path):
    faults = write_cohort(tmp_path, head, CohortSettings(sessions=2, snr=40.0, seed=1, faults=True))
    assert [fault.kind for fault in faults.values()] == ["truncated T1-weighted image"]
    broken = next(iter(faults))
    other = next(name for name in ("sub-01", "sub-02") if name != broken)
    with pytest.raises(InputError, match="sub-"):
        read_image(tmp_path / broken / "anat" / f"{broken}_T1w.nii.gz")
    assert read_image(tmp_path / other / "anat" / f"{other}_T1w.nii.gz").array.max() > 0


@pytest.mark.parametrize("wrong", [{"suffixes": ("T2w",)}, {"suffixes": ()}, {"unevenness": 5.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=r"suffixes|unevenness"):
        StructuralSettings(**wrong)
