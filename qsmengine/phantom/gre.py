"""Multi-echo gradient-echo signals.

S(TE) = m0 c exp(-R2* TE) exp(i (phi_0 + 2 pi gamma B0 TE field)) + noise, with the coil's sensitivity c
and phase phi_0 smooth in space and the same for every echo. The noise is complex Gaussian; its standard
deviation per channel is the mean magnitude of `reference` voxels at the first echo over the SNR.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import GreSeries, Map, check_echo_times
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsName
from qsmengine.phantom.drawing import Drawing, Scene
from qsmengine.phantom.faults import FaultKind, crop, remove, truncate
from qsmengine.phantom.resample import FloatImage
from qsmengine.phantom.volumes import write_volume
from qsmengine.units import rad_per_ppm

ComplexImage = npt.NDArray[np.complex64]
SIGNAL_SCALE = 1000.0
"""Magnitude of water at TE = 0 in the coil's centre [arbitrary]."""


@dataclass(frozen=True)
class Coil:
    """Receive profile of the combined coil: `sensitivity` (x, y, z) [1], `phase` (x, y, z) [rad]."""

    sensitivity: FloatImage
    phase: FloatImage


@dataclass(frozen=True)
class SmoothCoil:
    """A coil whose sensitivity increases to the surface, with second-order phase.

    The sensitivity is 0.8 to 1.3 over the field of view, the phase a random quadratic of about 2 rad, at an
    unevenness of 1; the variation of the sensitivity is multiplied by it, that of the phase by its square root.

    Parameters
    ----------
    tilt
        Increase of the sensitivity along x, y, z.
    coefficients
        Of the phase [rad]: 1, x, y, z, xy, yz, xz, x^2 - y^2, (2 z^2 - x^2 - y^2) / 2.
    unevenness
        1 to 4; at 4 the sensitivity is 0.6 to 3.
    """

    tilt: npt.NDArray[np.float64]
    coefficients: npt.NDArray[np.float64]
    unevenness: float = 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator, unevenness: float = 1.0) -> SmoothCoil:
        """Draw a coil. The random numbers depend on `rng` alone, so they are the same at every voxel size."""
        return cls(rng.uniform(-0.08, 0.08, 3), rng.uniform(-1.0, 1.0, 9), unevenness)

    def on(self, grid: Grid, planes: slice = slice(None)) -> Coil:
        """Return the profile on `planes` along x of `grid`; coordinates are -1 to 1 over the field of view."""
        axes = [
            np.linspace(-1, 1, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32) for n in grid.shape
        ]
        x, y, z = np.meshgrid(axes[0][planes], *axes[1:], indexing="ij", sparse=True)
        u, tilt = np.float32(self.unevenness), self.tilt * self.unevenness
        c = self.coefficients * np.sqrt(self.unevenness)
        sensitivity = 0.8 + 0.12 * u * (x * x + y * y + z * z) + (tilt[0] * x + tilt[1] * y + tilt[2] * z)
        phase = (
            np.pi * c[0] + c[1] * x + c[2] * y + c[3] * z + c[4] * (x * y) + c[5] * (y * z) + c[6] * (x * z)
            + (c[7] * (x * x - y * y) + c[8] * (2 * z * z - x * x - y * y) / 2)
        )  # fmt: skip
        return Coil(sensitivity.astype(np.float32), phase.astype(np.float32))


def smooth_coil(grid: Grid, rng: np.random.Generator) -> Coil:
    """Return the profile of a :class:`SmoothCoil` drawn with `rng`."""
    return SmoothCoil.draw(rng).on(grid)


def gre_signal(
    *,
    total_field: FloatImage,
    r2star: FloatImage,
    m0: FloatImage,
    coil: Coil,
    grid: Grid,
    echo_times: tuple[float, ...],
    snr: float | None,
    reference: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> GreSeries:
    """Return magnitude and wrapped phase (x, y, z, echo) of a gradient-echo series.

    Parameters
    ----------
    total_field, r2star, m0
        (x, y, z) [ppm], [1/s], [1].
    coil
        Receive profile.
    grid
        Geometry with the field strength.
    echo_times
        [s].
    snr
        Mean magnitude over standard deviation per channel in `reference` at the first echo; None: no noise.
    reference
        (x, y, z) voxels that define the SNR.
    rng
        Source of the noise.

    Raises
    ------
    InputError
        For echo times that are not ascending seconds, or a grid without field strength.
    """
    times = check_echo_times(echo_times)
    echoes = clean_echoes(total_field, r2star, m0, coil, grid.required_field_strength, times)
    return noisy_series(echoes, grid, times, snr, reference, rng)


def clean_echoes(
    total_field: FloatImage,
    r2star: FloatImage,
    m0: FloatImage,
    coil: Coil,
    field_strength: float,
    echo_times: tuple[float, ...],
) -> Iterator[ComplexImage]:
    """Yield the noise-free complex signal (x, y, z) of each echo; arguments as for gre_signal."""
    proton = m0 * coil.sensitivity * np.float32(SIGNAL_SCALE)
    for time in echo_times:
        size = proton * np.exp(r2star * np.float32(-time))
        angle = total_field * np.float32(rad_per_ppm(field_strength, time)) + coil.phase
        signal = np.empty(total_field.shape, np.complex64)
        np.multiply(size, np.cos(angle), out=signal.real)
        np.multiply(size, np.sin(angle), out=signal.imag)
        yield signal


def noisy_series(
    echoes: Iterable[ComplexImage],
    grid: Grid,
    echo_times: tuple[float, ...],
    snr: float | None,
    reference: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> GreSeries:
    """Add noise to `echoes` and return magnitude and wrapped phase (x, y, z, echo); see gre_signal."""
    shape = (*grid.shape, len(echo_times))
    magnitude, phase = np.empty(shape, np.float32), np.empty(shape, np.float32)
    sigma = 0.0
    for echo, signal in enumerate(echoes):
        if snr is not None:
            if echo == 0:
                sigma = float(np.abs(signal)[reference].mean(dtype=np.float64)) / snr
            signal.real += rng.standard_normal(grid.shape, dtype=np.float32) * np.float32(sigma)
            signal.imag += rng.standard_normal(grid.shape, dtype=np.float32) * np.float32(sigma)
        magnitude[..., echo] = np.abs(signal)
        phase[..., echo] = np.angle(
            signal + np.complex64(0)
        )  # no negative zeros: without signal the phase is 0
    return GreSeries(magnitude, phase, echo_times, grid)


def _simulate(scene: Scene) -> tuple[GreSeries, Mapping[str, Map]]:
    tissue = scene.anatomy.tissue
    series = gre_signal(
        total_field=scene.fields["total_field"], r2star=tissue.r2star, m0=tissue.m0, coil=scene.coil,
        grid=scene.grid, echo_times=scene.echo_times, snr=scene.snr, reference=scene.anatomy.reference,
        rng=scene.rng,
    )  # fmt: skip
    return series, {}


def _add_noise(
    series: GreSeries, snr: float, reference: npt.NDArray[np.bool_], rng: np.random.Generator
) -> GreSeries:
    echoes = (
        (series.magnitude[..., echo] * np.exp(1j * series.phase[..., echo])).astype(np.complex64)
        for echo in range(len(series.echo_times))
    )
    return noisy_series(echoes, series.grid, series.echo_times, snr, reference, rng)


def _write(gre: GreSeries, session: Path, entities: Mapping[str, str], settings: Mapping[str, object]) -> None:
    """Write every echo's magnitude and phase [rad] with sidecars."""
    for echo, time in enumerate(gre.echo_times):
        for part, array, units in (("mag", gre.magnitude, "arbitrary"), ("phase", gre.phase, "rad")):
            name = BidsName({**entities, "echo": str(echo + 1), "part": part}, "MEGRE")
            sidecar = {
                "EchoTime": time,
                "MagneticFieldStrength": gre.grid.required_field_strength,
                "Units": units,
                "SimulatedSNR": settings.get("SNR"),
            }
            write_volume(session / "anat", name, array[..., echo], gre.grid, sidecar)


def _a_phase(session: Path, rng: np.random.Generator) -> Path:
    phases = sorted(session.glob("anat/*part-phase_MEGRE.nii.gz"))
    return phases[int(rng.integers(len(phases)))]


def _truncate_phase(session: Path, rng: np.random.Generator) -> list[Path]:
    path = _a_phase(session, rng)
    truncate(path, rng)
    return [path]


def _crop_phase(session: Path, rng: np.random.Generator) -> list[Path]:
    path = _a_phase(session, rng)
    crop(path)
    return [path]


DRAWING = Drawing(
    name="gre",
    step="qsm",
    stream=2,
    simulate=_simulate,
    add_noise=_add_noise,
    write=_write,
    images="anat/*_MEGRE.*",
    faults=(
        FaultKind("missing sidecar", lambda session, _: remove(session.glob("anat/*_MEGRE.json"))),
        FaultKind("truncated file", _truncate_phase),
        FaultKind("mismatched grid", _crop_phase),
        FaultKind("missing phase", lambda session, _: remove(session.glob("anat/*part-phase_MEGRE.*"))),
    ),
)
