import numpy as np

from qsmengine.phantom.field import FieldModel
from qsmengine.phantom.neck import neck_field


def test_column_below_has_the_field_of_the_same_column_on_the_fine_grid():
    shape, voxel_size, b0, below = (24, 26, 30), (3.0, 3.0, 3.0), (0.0, 0.6, 0.8), 30
    x, y = np.meshgrid(np.arange(24) - 11.5, np.arange(26) - 12.5, indexing="ij")
    chi = np.zeros(shape, np.float32)
    chi[..., :4] = (-9.4 * (np.hypot(x, y) < 8))[..., None]
    column = np.zeros((24, 26, 30 + below), np.float32)
    column[..., :below] = chi[..., :1]
    expected = FieldModel.on_cpu(column.shape, voxel_size, b0).field(column)[..., below:]
    found = neck_field(chi, FieldModel.on_cpu(shape, voxel_size, b0), length=90.0)
    assert np.abs(expected[..., 8:]).max() > 0.5
    np.testing.assert_allclose(found[..., 8:], expected[..., 8:], atol=0.01)
