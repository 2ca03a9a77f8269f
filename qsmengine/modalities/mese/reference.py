"""First spin echo, which is registered with the session's T1-weighted image."""

from __future__ import annotations

import numpy as np

from qsmengine.data import Map
from qsmengine.io.mese import read_mese
from qsmengine.modalities.mese.session import MeseRequest, open_series
from qsmengine.modalities.modality import Task
from qsmengine.modalities.placed import Reference
from qsmengine.pipeline.configuration.model import Config


def _read(task: Task, _: Config) -> Map:
    series = read_mese(open_series(MeseRequest.of(task))).series
    return Map(np.ascontiguousarray(series.signal[..., 0]), "arbitrary", series.grid)


REFERENCE = Reference(_read, "first spin echo")
