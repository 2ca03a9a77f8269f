"""Body below the label map, without which the cut through the neck would act as a magnetic source.

The lowest slice is extended downwards. The field of this column is smooth in the brain, so it is
computed on a coarse grid and interpolated by cubic splines.
"""

from __future__ import annotations

import math

import numpy as np

from qsmengine.grid import Grid
from qsmengine.phantom.field import FieldModel
from qsmengine.phantom.field_split import SplitFieldModel
from qsmengine.phantom.resample import FloatImage, Resampler, interpolate

COARSE = 6.0
"""Smallest voxel edge of the coarse grid [mm]."""


def neck_field(chi: FloatImage, model: FieldModel | SplitFieldModel, length: float) -> FloatImage:
    """Return the field [ppm], on the grid of `model`, of a column of `length` [mm] below `chi`.

    Parameters
    ----------
    chi
        (x, y, z) [ppm] relative to air.
    model
        Its grid; z, the last axis, points up.
    length
        Length of the column [mm].
    """
    sizes = [max(COARSE, h) for h in model.voxel_size]
    resampler = Resampler(Grid.from_voxel_size(model.shape, model.voxel_size), (sizes[0], sizes[1], sizes[2]))
    below = math.ceil(length / sizes[2])
    nx, ny, nz = resampler.shape
    column = np.zeros((nx, ny, nz + below), dtype=np.float32)
    slice_grid = Grid.from_voxel_size((*model.shape[:2], 1), model.voxel_size)
    across = Resampler(slice_grid, (sizes[0], sizes[1], model.voxel_size[2]))
    column[:, :, :below] = across.average(chi[:, :, :1])
    coarse_model = FieldModel(column.shape, resampler.voxel_size, model.b0_direction, model.device)
    field = coarse_model.field(column)[:, :, below:]
    return interpolate(field, model.shape, resampler.ratios)
