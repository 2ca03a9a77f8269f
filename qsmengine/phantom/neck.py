"""Body below the label map, without which the cut through the neck would act as a magnetic source.

The lowest slice is extended downwards. The field of this column is smooth in the brain, so it is
computed on a coarse grid and interpolated by cubic splines.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from qsmengine.grid import Grid
from qsmengine.phantom.field import FieldModel
from qsmengine.phantom.resample import FloatImage, Resampler, interpolate

COARSE = 6.0
"""Smallest voxel edge of the coarse grid [mm]."""


def neck_field(chi: FloatImage, model: FieldModel, length: float) -> FloatImage:
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
    lowest = np.repeat(chi[:, :, :1], model.shape[2], axis=2)
    column[:, :, :below] = resampler.average(lowest)[:, :, :1]
    coarse_model = replace(model, shape=column.shape, voxel_size=resampler.voxel_size)
    field = coarse_model.field(column)[:, :, below:]
    return interpolate(field, model.shape, resampler.ratios)
