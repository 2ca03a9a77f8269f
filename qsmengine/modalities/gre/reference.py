"""Magnitude of the first echo, which is registered with the session's T1-weighted image."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.data import Map
from qsmengine.modalities.gre.session import QsmRequest, load_series
from qsmengine.modalities.modality import Task
from qsmengine.modalities.placed import Reference
from qsmengine.pipeline.configuration.model import Config


def _read(task: Task, config: Config) -> Map:
    series, _ = load_series(QsmRequest.of(task), config)
    return Map(np.ascontiguousarray(to_numpy(series.magnitude[..., 0])), "arbitrary", series.grid)


REFERENCE = Reference(_read, "first echo", ("magnitude", "real"))
