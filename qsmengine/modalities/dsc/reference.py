"""Mean of the frames before the bolus, which is registered with the session's T1-weighted image."""

from __future__ import annotations

import numpy as np

from qsmengine.data import Map
from qsmengine.errors import naming
from qsmengine.io.dsc import read_dsc
from qsmengine.modalities.dsc.series import FIRST
from qsmengine.modalities.dsc.session import DscRequest, bolus_of, open_series
from qsmengine.modalities.modality import Task
from qsmengine.modalities.placed import Reference
from qsmengine.ops.agreement import head_mask
from qsmengine.pipeline.configuration.model import Config


def _read(task: Task, config: Config) -> Map:
    series = read_dsc(open_series(DscRequest.of(task))).series
    first = series.signals[0]
    with naming(task.files[FIRST][0]):
        timing = bolus_of(series, head_mask(first.mean(axis=3, dtype=np.float32)), config)
    mean = first[..., timing.first : timing.baseline_end].mean(axis=3, dtype=np.float32)
    return Map(np.ascontiguousarray(mean), "arbitrary", series.grid)


REFERENCE = Reference(_read, "mean of the frames before the bolus")
