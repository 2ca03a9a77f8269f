"""Errors of the acquisition that no field map explains: flowing blood, motion, uneven coils.

Flow. Without flow compensation moving spins gain phase in proportion to their velocity and to the first moment
of the gradients, which grows with the square of the echo time: phi = flow g (TE / 20 ms)^2 in arteries and
veins, with g smooth, of unit variance, and the same for all echoes.

Motion. Breathing shifts the field from one k-space line to the next: lines along y are multiplied by
exp(i eps), with eps = ghost h (TE / 20 ms), h a sine with random amplitude. The image gets ghosts along y.

Conduction. The phase of all echoes contains the offset of :mod:`qsmengine.phantom.conduction`, which no
background field explains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsmengine.phantom.conduction import conduction_phase
from qsmengine.phantom.gre import ComplexImage
from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.resample import FloatImage
from qsmengine.phantom.tissue import smooth_noise

REFERENCE_TIME = 0.02
"""Echo time at which `flow` and `ghost` are defined [s]."""
FLOW_LATTICE = 8.0
"""Spacing of the lattice on which the velocity is drawn [mm]."""
BREATH = 30.0
"""Lines per breath."""
VESSELS = ("vein", "artery")


@dataclass(frozen=True)
class Artefacts:
    """Errors of an acquisition.

    Parameters
    ----------
    flow
        Standard deviation of the phase error in vessels at 20 ms [rad].
    ghost
        Standard deviation of the phase error of k-space lines at 20 ms [rad].
    unevenness
        Factor on the coil's variation: see :class:`~qsmengine.phantom.gre.SmoothCoil`.
    conduction
        Factor on the conductivity of tissue; 1: that of a head.
    """

    flow: float = 0.0
    ghost: float = 0.0
    unevenness: float = 1.0
    conduction: float = 0.0

    def offset(self, head: HeadIndex, field_strength: float) -> FloatImage | None:
        """Return the phase (x, y, z) [rad] of conducting tissue on the grid of `head`; None without."""
        if self.conduction == 0:
            return None
        return np.float32(self.conduction) * conduction_phase(head, field_strength)

    def flow_phase(self, head: HeadIndex, rng: np.random.Generator) -> FloatImage | None:
        """Return the phase (x, y, z) [rad] at 20 ms on the grid of `head`; None without flow."""
        if self.flow == 0:
            return None
        phase = head.lookup([region.tissue in VESSELS for region in head.regions], np.float32)
        phase *= smooth_noise(phase.shape, rng, FLOW_LATTICE / head.grid.voxel_size[0])
        phase *= np.float32(self.flow)
        return phase

    def line_phase(self, lines: int, rng: np.random.Generator) -> FloatImage | None:
        """Return the phase (lines,) [rad] at 20 ms in the order of the k-space lines; None without motion."""
        if self.ghost == 0:
            return None
        when = np.arange(lines)
        wave = np.sin(2 * np.pi * (when / BREATH + rng.uniform())) * rng.uniform(0.5, 1.5, lines)
        wave *= self.ghost / wave.std()
        return np.asarray(np.fft.ifftshift(wave), dtype=np.float32)


NO_ARTEFACTS = Artefacts()


def with_line_phase(echo: ComplexImage, phase: FloatImage, time: float) -> ComplexImage:
    """Return the image (x, y, z) at the echo time [s] after its k-space lines along y gained `phase`."""
    from scipy.fft import fft, ifft

    turn = np.exp(1j * phase * (time / REFERENCE_TIME)).astype(np.complex64)[:, None]
    return np.asarray(ifft(fft(echo, axis=1) * turn, axis=1), dtype=np.complex64)
