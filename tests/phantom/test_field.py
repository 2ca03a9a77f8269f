"""The forward field against closed forms that know nothing of voxels."""

import numpy as np
import pytest

from qsmengine.backend.device import resolve_device
from qsmengine.errors import InputError
from qsmengine.phantom.field import FieldModel, fill_box_dipole

OBLIQUE = tuple((np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])).tolist())
DIRECTIONS = [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0), OBLIQUE]


def coordinates(shape, voxel_size):
    """Voxel centres [mm] from the middle of the grid."""
    axes = [(np.arange(n) + 0.5 - n / 2) * h for n, h in zip(shape, voxel_size, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def partial_volume(shape, voxel_size, inside, divisions=5):
    """Fraction of each voxel where `inside` (of coordinates) holds."""
    total = np.zeros(shape)
    centres = coordinates(shape, voxel_size)
    offsets = (np.arange(divisions) + 0.5) / divisions - 0.5
    for step in np.stack(np.meshgrid(offsets, offsets, offsets)).reshape(3, -1).T:
        total += inside(centres + (step * voxel_size)[:, None, None, None])
    return (total / divisions**3).astype(np.float32)


@pytest.mark.parametrize("b0", DIRECTIONS)
@pytest.mark.parametrize(
    ("shape", "voxel_size"), [((48, 48, 48), (1.0, 1.0, 1.0)), ((48, 33, 25), (1.0, 1.4, 1.9))]
)
def test_sphere_has_the_field_of_a_dipole_outside_and_none_inside(shape, voxel_size, b0):
    radius, chi = 10.0, 1.0
    source = chi * partial_volume(shape, voxel_size, lambda r: (r**2).sum(0) < radius**2)
    field = FieldModel.on_cpu(shape, voxel_size, b0).field(source)
    r = coordinates(shape, voxel_size)
    distance = np.sqrt((r**2).sum(0))
    cosine = np.tensordot(b0, r, axes=1) / distance
    expected = np.where(distance > radius, chi / 3 * (radius / distance) ** 3 * (3 * cosine**2 - 1), 0)
    margin = 2 * max(voxel_size)
    outside, inside = distance > radius + margin, distance < radius - margin
    assert np.abs(field - expected)[outside].max() < 0.006 * chi
    assert np.sqrt(((field - expected)[outside] ** 2).mean()) < 0.001 * chi
    assert np.abs(field)[inside].max() < 0.006 * chi


@pytest.mark.parametrize("angle", [90.0, 54.7356, 30.0])
def test_cylinder_has_its_field_outside_and_inside(angle):
    shape, voxel_size, radius, chi = (36, 36, 260), (1.0, 1.0, 2.0), 5.0, 1.0
    theta = np.deg2rad(angle)
    b0 = (np.sin(theta) * np.cos(0.4), np.sin(theta) * np.sin(0.4), np.cos(theta))
    section = partial_volume((36, 36, 1), voxel_size, lambda r: (r[:2] ** 2).sum(0) < radius**2)
    source = np.ascontiguousarray(np.broadcast_to(chi * section, shape))
    field = FieldModel.on_cpu(shape, voxel_size, b0).field(source)[:, :, shape[2] // 2]
    x, y, _ = coordinates((36, 36, 1), voxel_size)[..., 0]
    rho, phi = np.hypot(x, y), np.arctan2(y, x) - 0.4
    outside = chi / 2 * np.sin(theta) ** 2 * (radius / rho) ** 2 * np.cos(2 * phi)
    inside = chi / 6 * (3 * np.cos(theta) ** 2 - 1)
    assert np.abs(field - outside)[rho > radius + 2].max() < 0.006 * chi
    assert np.abs(field - inside)[rho < radius - 2].max() < 0.006 * chi


def test_voxel_field_is_that_of_many_point_dipoles_in_its_box(rng):
    reach, voxel_size = (4, 4, 4), (1.0, 1.7, 0.6)
    kernel = np.zeros((9, 9, 9), np.float32)
    fill_box_dipole(kernel, reach, voxel_size, OBLIQUE)
    cells = (np.arange(24) + 0.5) / 24 - 0.5
    points = np.stack(np.meshgrid(cells, cells, cells)).reshape(3, -1).T * voxel_size
    for offset in rng.integers(-3, 4, size=(12, 3)):
        if not np.any(offset):
            continue
        r = offset * np.array(voxel_size) - points
        distance = np.linalg.norm(r, axis=1)
        along = r @ np.array(OBLIQUE)
        point = (3 * along**2 - distance**2) / distance**5
        expected = np.prod(voxel_size) / (4 * np.pi) * point.mean()
        assert kernel[tuple(offset)] == pytest.approx(expected, rel=2e-3, abs=2e-6)


def test_fields_of_three_perpendicular_directions_add_up_to_zero():
    kernels = []
    for b0 in np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]:
        kernel = np.zeros((12, 13, 14), np.float32)
        fill_box_dipole(kernel, (6, 6, 7), (1.0, 0.8, 2.0), tuple(b0.tolist()))
        kernels.append(kernel.astype(np.float64))
    assert np.abs(kernels[0]).max() > 0.05
    np.testing.assert_allclose(sum(kernels), 0.0, atol=1e-7)


def test_field_does_not_wrap_around(rng):
    shape, voxel_size = (11, 8, 9), (1.0, 1.2, 0.9)
    chi = rng.normal(size=shape).astype(np.float32)
    inner = FieldModel.on_cpu(shape, voxel_size, OBLIQUE).field(chi)
    wide = np.zeros((30, 28, 27), np.float32)
    wide[10:21, 9:17, 8:17] = chi
    outer = FieldModel.on_cpu(wide.shape, voxel_size, OBLIQUE).field(wide)[10:21, 9:17, 8:17]
    np.testing.assert_allclose(inner, outer, atol=2e-6)


def test_source_of_another_shape_is_refused():
    model = FieldModel((4, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0), resolve_device("cpu"))
    with pytest.raises(InputError, match=r"\(4, 4, 5\)"):
        model.field(np.zeros((4, 4, 5), np.float32))
