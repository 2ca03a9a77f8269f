"""Bolus series (dynamic susceptibility contrast) of a virtual head with known perfusion.

The signal of a frame at the time t is that of spoiled gradient echoes with the flip angle alpha::

    S = c sin(alpha) sum_j v_j m0_j z_j exp(-TE (R2*_j + dR2*_j(t)))

over tissue, arteries and veins with their fractions v_j of the voxel. In tissue, dR2* = F A * R (t - delay)
plus that of leaked agent, and the longitudinal magnetisation follows
z <- 1 - (1 - z cos(alpha)) exp(-TR (R1 + dR1(t))) from frame to frame: the first frames are brighter, and
leaked agent shortens T1. In arteries dR2* = A(t). Blood is replaced between frames, so its z is 1. Noise is
Rician; the SNR is that of white matter in the steady state at the first echo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qsmengine.data import DscSeries, Map
from qsmengine.errors import UsageError
from qsmengine.grid import FloatArray, Grid
from qsmengine.phantom.bolus import FINE_STEP, Bolus
from qsmengine.phantom.gre import SIGNAL_SCALE
from qsmengine.phantom.perfusion import Leakage, PerfusionMaps
from qsmengine.phantom.resample import FloatImage
from qsmengine.phantom.tissue import tissue_table

VENOUS_DELAY, VENOUS_TRANSIT = 2.0, 3.0
"""Shortest time from artery to vein, and mean of the further transit time [s]."""


@dataclass(frozen=True)
class DscSettings:
    """Sequence, bolus and transport of a virtual series.

    Parameters
    ----------
    frames, repetition_time, echo_times
        Number of frames, time between them [s], and echo times [s].
    flip_angle
        [degrees].
    dummies
        Excitations before the first frame.
    slice_times
        (z,) [s] after the beginning of a frame; None: all at its beginning.
    bolus
        Agent in arteries.
    transit_shapes
        Shapes of the gamma distributions of transit times, which take equal parts of the flow and have the same
        mean; 1: exponential residue, a large shape: a box.
    dispersion
        Time constant of the dispersion between arteries and tissue [s].
    delay
        Arrival in tissue after that in arteries, at the front and back of the brain [s].
    leakage
        Label -> leakage of its tissue.
    """

    frames: int = 60
    repetition_time: float = 1.5
    echo_times: tuple[float, ...] = (0.03,)
    flip_angle: float = 70.0
    dummies: int = 0
    slice_times: tuple[float, ...] | None = None
    bolus: Bolus = field(default_factory=Bolus)
    transit_shapes: tuple[float, ...] = (1.0,)
    dispersion: float = 0.0
    delay: tuple[float, float] = (0.5, 1.5)
    leakage: Mapping[int, Leakage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.frames < 1 or self.dummies < 0 or not 0 < self.flip_angle <= 90 or self.dispersion < 0:
            raise UsageError(f"frames, dummies, flip angle or dispersion out of range: {self}")
        if not self.transit_shapes or min(self.transit_shapes) <= 0:
            raise UsageError(f"shapes of transit times must be positive, got {self.transit_shapes}")


def dsc_signal(
    *,
    perfusion: PerfusionMaps,
    m0: FloatImage,
    r2star: FloatImage,
    sensitivity: FloatImage,
    grid: Grid,
    settings: DscSettings,
    snr: float | None,
    reference: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> DscSeries:
    """Return the signals of a bolus series, (x, y, z, frame) per echo.

    Parameters
    ----------
    perfusion
        Flows, vessels, delay and leakage on `grid`.
    m0, r2star
        (x, y, z) [1], [1/s] of the tissue without agent.
    sensitivity
        (x, y, z) of the coil [1].
    grid
        Geometry with the field strength.
    settings
        Sequence and bolus.
    snr
        Mean steady-state signal in `reference` at the first echo over the standard deviation per channel;
        None: no noise.
    reference
        (x, y, z) voxels that define the SNR.
    rng
        Source of the noise.
    """
    slices = (
        np.zeros(grid.shape[2]) if settings.slice_times is None else np.asarray(settings.slice_times, float)
    )
    shape = (*grid.shape, settings.frames)
    signals = tuple(np.empty(shape, np.float32) for _ in settings.echo_times)
    series = DscSeries(signals, settings.echo_times, settings.repetition_time, grid, slices)
    scale = sensitivity * np.float32(SIGNAL_SCALE * np.sin(np.deg2rad(settings.flip_angle)))
    tissue = scale * m0 * (1 - perfusion.artery - perfusion.vein)
    sigma = 0.0
    if snr is not None:
        steady = tissue * _steady(perfusion.r1, settings) * np.exp(np.float32(-settings.echo_times[0]) * r2star)
        sigma = float(steady[reference].mean(dtype=np.float64)) / snr
    shown = [scale * share for share in (perfusion.artery, perfusion.vein)]
    for frame, (z, change, vessels) in enumerate(_frames(perfusion, series.times, slices, settings)):
        for signal, time in zip(signals, settings.echo_times, strict=True):
            clean = tissue * z * np.exp(np.float32(-time) * (r2star + change))
            for share, (kind, rate) in zip(shown, vessels.items(), strict=True):
                row = tissue_table()[kind]
                own = row.r2star_at(grid.required_field_strength) + rate
                clean += share * (row.m0 * np.exp(-time * own)).astype(np.float32)
            if sigma:
                noise = rng.standard_normal((2, *grid.shape), dtype=np.float32) * np.float32(sigma)
                clean = np.hypot(clean + noise[0], noise[1])
            signal[..., frame] = clean
    return series


def dsc_truth(perfusion: PerfusionMaps, grid: Grid) -> dict[str, Map]:
    """Return the true maps of the tissue, with units, and the fractions of vessels."""
    return {
        "cbv": Map(perfusion.cbv, "mL/100 g", grid),
        "cbf": Map(perfusion.cbf, "mL/100 g/min", grid),
        "mtt": Map(perfusion.mtt, "s", grid),
        "delay": Map(perfusion.delay, "s", grid),
        "artery": Map(perfusion.artery, "1", grid),
        "vein": Map(perfusion.vein, "1", grid),
    }


def _steady(r1: FloatImage, settings: DscSettings) -> FloatImage:
    """Return the longitudinal magnetisation before each pulse in the steady state (x, y, z) [1]."""
    decay = np.exp(np.float32(-settings.repetition_time) * r1)
    flip = np.float32(np.cos(np.deg2rad(settings.flip_angle)))
    return np.asarray((1 - decay) / (1 - decay * flip))


def _frames(
    perfusion: PerfusionMaps, times: FloatArray, slices: FloatArray, settings: DscSettings
) -> Iterator[tuple[FloatImage, FloatImage, dict[str, FloatArray]]]:
    """Yield for every frame z and dR2* [1/s] of the tissue (x, y, z), and dR2* of each vessel (z,)."""
    bolus = settings.bolus
    latest = float(times[-1] + slices.max() - min(0.0, float(perfusion.delay.min()))) + FINE_STEP
    fine = np.arange(0.0, latest + FINE_STEP, FINE_STEP)
    curves = {
        mtt: np.mean(
            [
                bolus.tissue(fine, mtt, transit_shape=shape, dispersion=settings.dispersion)
                for shape in settings.transit_shapes
            ],
            axis=0,
        )
        for mtt in perfusion.flows
    }
    parts = [(np.nonzero(flow), flow[flow != 0], curves[mtt]) for mtt, flow in perfusion.flows.items()]
    earliest = bolus.arrival - float(slices.max()) + min(0.0, float(perfusion.delay.min()))
    leaks = [(share, leak, leak.ktrans * bolus.leaked(fine, leak.back_rate)) for share, leak in perfusion.leaks]
    blood = {"artery": bolus.arterial(fine), "vein": bolus.venous(fine, VENOUS_DELAY, VENOUS_TRANSIT)}
    flip = np.float32(np.cos(np.deg2rad(settings.flip_angle)))
    z = np.ones(perfusion.r1.shape, np.float32)
    decay = np.exp(np.float32(-settings.repetition_time) * perfusion.r1)
    for _ in range(settings.dummies):
        z = 1 - (1 - z * flip) * decay
    for time in times:
        change = np.zeros_like(z)
        for where, flow, curve in parts if time > earliest else ():
            at = time + slices[where[2]] - perfusion.delay[where]
            change[where] += (flow * np.interp(at, fine, curve)).astype(np.float32)
        faster = np.zeros_like(z)
        for share, leak, curve in leaks:
            leaked = share * np.interp(time + slices, fine, curve).astype(np.float32)
            change += np.float32(leak.t2star) * leaked
            faster += np.float32(leak.t1) * leaked
        yield z, change, {kind: np.interp(time + slices, fine, curve) for kind, curve in blood.items()}
        z = 1 - (1 - z * flip) * decay * np.exp(np.float32(-settings.repetition_time) * faster)
