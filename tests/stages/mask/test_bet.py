"""The surface finds a brain behind dark bone, whatever voxels, background and receive field."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.bet import BET_CROSS, BET_INSIDE
from qsmengine.demo_data import demo_path
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.io import load_gre
from qsmengine.ops.mesh import unit_sphere
from qsmengine.phantom.head import virtual_head
from qsmengine.stages.mask.bet import BetParams, bet

BRAIN, BONE, SKIN = (60.0, 72.0, 55.0), 6.0, 8.0


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def make(magnitude, grid, **params):
    return to_numpy(bet(magnitude[..., None], grid, BetParams(**params), device=cpu(1)))


def inside(vertices, triangles, shape):
    """1 in the voxels inside a closed surface."""
    crossings, mask = np.zeros(shape, np.int32), np.empty(shape, np.uint8)
    places = np.ascontiguousarray(vertices, np.float32)
    launch(BET_CROSS, cpu(2), vertices=places, triangles=triangles, crossings=crossings)
    launch(BET_INSIDE, cpu(2), crossings=crossings, mask=mask)
    return mask


def phantom(voxel_size, *, fluid=0.0, seed=0):
    """Ellipsoids of skin, bone, bright fluid of that width, and brain with a cavity; brain mask, grid."""
    rng = np.random.default_rng(seed)
    shape = tuple(int((2 * (a + BONE + SKIN) + 20) / h) for a, h in zip(BRAIN, voxel_size, strict=True))
    grid = Grid.from_voxel_size((shape[0], shape[1], shape[2]), voxel_size)
    axes = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, voxel_size, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))

    def inside(grown):
        return sum((p / (a + grown)) ** 2 for p, a in zip(points, BRAIN, strict=True)) < 1

    image = np.zeros(shape)
    for grown, value in ((BONE + SKIN, 700.0), (BONE, 80.0), (0.0, 950.0), (-fluid, 600.0)):
        image[inside(grown)] = value
    if fluid == 0:
        image[inside(0.0)] = 600.0
    image[(points**2).sum(axis=0) < 12.0**2] = 950.0
    image *= 1 + 0.3 * points[0] / 80
    noise = 20 * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    return np.abs(image + noise).astype(np.float32), inside(-fluid), grid


@pytest.mark.parametrize("voxel_size", [(2.0, 2.0, 2.0), (1.0, 1.5, 4.0), (3.0, 3.0, 3.0)])
def test_brain_behind_bone_is_found_whatever_the_voxels(voxel_size):
    image, brain, grid = phantom(voxel_size)
    assert dice(make(image, grid), brain) > 0.96


def test_bright_background_does_not_matter():
    image, brain, grid = phantom((3.0, 3.0, 3.0))
    level = np.random.default_rng(1).rayleigh(60.0, image.shape)
    assert dice(make(np.hypot(image, level).astype(np.float32) + 100, grid), brain) > 0.95


def test_head_cut_out_already_is_kept():
    image, brain, grid = phantom((3.0, 3.0, 3.0))
    assert dice(make(image * brain, grid), brain) > 0.95


def test_bright_fluid_is_peeled_off_unless_kept():
    image, brain, grid = phantom((2.0, 2.0, 2.0), fluid=4.0)
    peeled, kept = make(image, grid), make(image, grid, bright_rim=None)
    assert dice(peeled, brain) > 0.96
    assert kept.sum() > 1.1 * peeled.sum()
    assert peeled[tuple(n // 2 for n in grid.shape)], "the cavity stays in the mask"


def test_flipped_and_scaled_image_gives_the_flipped_mask():
    image, _, grid = phantom((3.0, 3.0, 3.0))
    affine = grid.affine.copy()
    affine[:3, 2] *= -1
    flipped = make(image[:, :, ::-1] * np.float32(1e-3), Grid(grid.shape, affine), gradient=0.3)
    assert dice(flipped[:, :, ::-1], make(image, grid, gradient=0.3)) > 0.98


def test_lower_threshold_gives_a_larger_mask_and_the_gradient_shifts_it():
    image, _, grid = phantom((3.0, 3.0, 3.0))
    soft = image.copy()
    soft[image < 200] += 250
    sizes = [make(soft, grid, threshold=t).sum() for t in (0.3, 0.6, 0.9)]
    assert sizes[0] >= sizes[1] > sizes[2]
    top = slice(grid.shape[2] // 2, None)
    straight = make(soft, grid, threshold=0.75)
    tilted = make(soft, grid, threshold=0.75, gradient=0.25)
    assert tilted[..., top].sum() < straight[..., top].sum()


@pytest.mark.slow
def test_virtual_head_s_brain_is_found():
    head = virtual_head(voxel_size=(2.0, 2.0, 2.0), snr=100.0, seed=1)
    mask = to_numpy(bet(head.gre.magnitude, head.grid, BetParams(), device=cpu(1)))
    assert dice(mask, head.mask) > 0.95


def test_real_brain_has_a_plausible_volume():
    folder = demo_path("philips-gre-2echo-brain")
    files = [[folder / f"echo-{e}_{part}.nii.gz" for e in (1, 2)] for part in ("mag", "phase")]
    series = load_gre(*files).series
    mask = to_numpy(bet(series.magnitude, series.grid, BetParams(), device=cpu(1)))
    assert 1350 < mask.sum() * series.grid.voxel_volume / 1000 < 1650


def test_surface_is_filled_as_a_ball_is():
    shape, centre, radius = (41, 37, 45), np.array([20.3, 18.1, 21.7]), 14.6
    mesh = unit_sphere(4)
    mask = inside(centre + radius * mesh.vertices, mesh.triangles, shape)
    distance = np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - centre, axis=-1)
    np.testing.assert_array_equal(mask[distance < 0.995 * radius], 1)
    np.testing.assert_array_equal(mask[distance > radius], 0)


def test_surface_through_voxel_centres_and_beyond_the_image_is_filled_without_gaps():
    corners = np.array([[i, j, k] for i in (-3, 20) for j in (2, 6) for k in (1, 5)], dtype=float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.int32)
    outwards = np.linalg.det(corners[triangles] - corners.mean(axis=0)) > 0
    triangles = np.where(outwards[:, None], triangles, triangles[:, [0, 2, 1]]).astype(np.int32)
    mask = inside(corners, triangles, (10, 9, 8))
    assert (mask[:, 3:6, 2:5] == 1).all()
    assert mask.sum() == mask[:, 2:7, 1:6].sum()
    assert (mask == mask[:1]).all()


def test_images_without_a_head_are_refused():
    grid = Grid.from_voxel_size((10, 10, 10), (2.0, 2.0, 2.0))
    for value in (0.0, 3.0):
        with pytest.raises(InputError, match=r"no signal|no contrast"):
            make(np.full(grid.shape, value, np.float32), grid)
    image, _, grid = phantom((3.0, 3.0, 3.0))
    with pytest.raises(UsageError, match="echo is 2"):
        make(image, grid, echo=2)
