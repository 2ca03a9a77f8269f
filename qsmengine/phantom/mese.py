"""Spin echoes of one excitation and equal refocusing pulses, with imperfect flip angles.

Each voxel's train is that of an extended phase graph with its R1, R2 and B1, which scales the excitation of 90
and the refocusing pulses of 180 degrees; their axes are 90 degrees apart (Carr, Purcell, Meiboom and Gill).

Reference: Weigel 2015, 10.1002/jmri.24619.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsmengine.data import MeseSeries
from qsmengine.errors import UsageError
from qsmengine.grid import FloatArray, Grid
from qsmengine.phantom.resample import FloatImage
from qsmengine.phantom.vfa import SIGNAL_SCALE
from qsmengine.stages.relaxometry.phase_graph import PhaseGraph

BATCH = 8192
"""Voxels that are simulated together."""


@dataclass(frozen=True)
class MeseSettings:
    """Acquisition.

    Parameters
    ----------
    spacing
        Time between echoes [s].
    echoes
        Number of echoes.
    refocusing
        Nominal refocusing angle [deg].
    b1_spread
        As in :class:`qsmengine.phantom.vfa.VfaSettings`.
    """

    spacing: float = 0.012
    echoes: int = 8
    refocusing: float = 180.0
    b1_spread: float = 0.25

    def __post_init__(self) -> None:
        if self.spacing <= 0 or self.echoes < 1:
            raise UsageError(f"{self.echoes} echoes, {self.spacing:g} s apart: both must be positive")

    @property
    def echo_times(self) -> tuple[float, ...]:
        """Echo times [s]."""
        return tuple(self.spacing * (echo + 1) for echo in range(self.echoes))


def mese_signal(
    *,
    r1: FloatImage,
    r2: FloatImage,
    m0: FloatImage,
    b1: FloatImage,
    sensitivity: FloatImage,
    grid: Grid,
    settings: MeseSettings,
) -> MeseSeries:
    """Return the series (x, y, z, echo) without noise.

    Parameters
    ----------
    r1, r2
        (x, y, z) [1/s].
    m0, b1, sensitivity
        (x, y, z) [1].
    grid, settings
        Geometry and acquisition.
    """
    proton = (np.float32(SIGNAL_SCALE) * m0 * sensitivity).ravel()
    voxels = np.flatnonzero(proton > 0)
    volumes = np.zeros((settings.echoes, proton.size), np.float32)
    for start in range(0, voxels.size, BATCH):
        batch = voxels[start : start + BATCH]
        one, two, field = (image.ravel()[batch].astype(np.float64) for image in (r1, r2, b1))
        volumes[:, batch] = proton[batch] * _train(one, two, field, settings)
    images = volumes.reshape(settings.echoes, *grid.shape).transpose(1, 2, 3, 0)
    return MeseSeries(images, settings.echo_times, grid)


def _train(r1: FloatArray, r2: FloatArray, b1: FloatArray, settings: MeseSettings) -> FloatArray:
    """Return the echoes (echo, voxel) for unit equilibrium magnetisation."""
    half = 0.5 * settings.spacing
    e1, e2 = np.exp(-half * r1), np.exp(-half * r2)
    refocusing = np.radians(settings.refocusing) * b1
    graph = PhaseGraph.equilibrium(2 * settings.echoes + 2, r1.size).rotated(0.5 * np.pi * b1, np.pi / 2)
    found = np.empty((settings.echoes, r1.size))
    for echo in range(settings.echoes):
        graph = graph.relaxed(e1, e2).dephased().rotated(refocusing, 0.0).relaxed(e1, e2).dephased()
        found[echo] = np.abs(graph.plus[0])
    return found
