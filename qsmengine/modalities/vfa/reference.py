"""Image of the largest flip angle, which is registered with the session's T1-weighted image."""

from __future__ import annotations

import numpy as np

from qsmengine.data import Map
from qsmengine.io.vfa import read_vfa
from qsmengine.modalities.modality import Task
from qsmengine.modalities.placed import Reference
from qsmengine.modalities.vfa.session import VfaRequest, open_series
from qsmengine.pipeline.configuration.model import Config


def _read(task: Task, _: Config) -> Map:
    series = read_vfa(open_series(VfaRequest.of(task))).series
    largest = int(np.argmax(series.flip_angles))
    return Map(np.ascontiguousarray(series.signal[..., largest]), "arbitrary", series.grid)


REFERENCE = Reference(_read, "image of the largest flip angle")
