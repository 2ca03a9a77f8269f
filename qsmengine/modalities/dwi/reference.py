"""Mean image without diffusion weighting, which is registered with the session's T1-weighted image."""

from __future__ import annotations

import numpy as np

from qsmengine.data import Map, unweighted_volumes
from qsmengine.io.dwi import open_dwi, read_series
from qsmengine.modalities.dwi.volumes import b0_limit
from qsmengine.modalities.modality import Task
from qsmengine.modalities.placed import Reference
from qsmengine.pipeline.configuration.model import Config


def _read(task: Task, config: Config) -> Map:
    limit = b0_limit(config)
    file = open_dwi(task.files["dwi"][0], task.one("bval"), task.one("bvec"), b0_threshold=limit)
    free = unweighted_volumes(file.b_values, limit)
    chosen = file.volumes[free[file.volumes]]
    series = read_series(file, chosen if len(chosen) else file.volumes, mapped=True).series
    mean = series.signal.mean(axis=3, dtype=np.float32)
    return Map(np.ascontiguousarray(mean), "arbitrary", file.grid)


REFERENCE = Reference(_read, "mean of the volumes without diffusion weighting")
