"""Drawing of spin-echo trains: simulation, noise, raw files, truth and faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import Map, MeseSeries
from qsmengine.io.bids import BidsName
from qsmengine.phantom.drawing import Drawing, Scene, TruthFile
from qsmengine.phantom.faults import FaultKind, remove, truncate
from qsmengine.phantom.mese import MeseSettings, mese_signal
from qsmengine.phantom.resample import FloatImage
from qsmengine.phantom.vfa import b1_map, r1_map, with_noise
from qsmengine.phantom.volumes import write_volume


@dataclass(frozen=True)
class MeseImages:
    """Series of one head, and the transmit field `b1` (x, y, z) [1] that goes with it."""

    series: MeseSeries
    b1: FloatImage


def simulate(scene: Scene, settings: MeseSettings | None = None) -> tuple[MeseImages, Mapping[str, Map]]:
    """Return the series of a scene, and its true maps."""
    anatomy, settings = scene.anatomy, settings or MeseSettings()
    b1 = b1_map(scene.grid, scene.transmit_tilt, settings.b1_spread)
    series = mese_signal(
        r1=r1_map(anatomy.head, anatomy.fine.m0, anatomy.resampler), r2=anatomy.tissue.r2, m0=anatomy.tissue.m0,
        b1=b1, sensitivity=scene.coil.sensitivity, grid=scene.grid, settings=settings,
    )  # fmt: skip
    images = MeseImages(series, b1)
    if scene.snr is not None:
        images = add_noise(images, scene.snr, anatomy.reference, scene.rng)
    truth = {"r2": Map(anatomy.tissue.r2, "1/s", scene.grid), "mese_b1": Map(b1, "1", scene.grid)}
    return images, truth


def add_noise(
    images: MeseImages, snr: float, reference: npt.NDArray[np.bool_], rng: np.random.Generator
) -> MeseImages:
    """Add Rician noise to the series."""
    noisy = with_noise(images.series.signal, snr, reference, rng)
    return replace(images, series=replace(images.series, signal=noisy))


def write(
    images: MeseImages, session: Path, entities: Mapping[str, str], settings: Mapping[str, object]
) -> None:
    """Write every echo with its sidecar into ``anat/``."""
    series = images.series
    for echo, time in enumerate(series.echo_times):
        sidecar = {
            "EchoTime": time,
            "MagneticFieldStrength": series.grid.required_field_strength,
            "SimulatedSNR": settings.get("SNR"),
        }
        name = BidsName({**entities, "echo": str(echo + 1)}, "MESE")
        write_volume(session / "anat", name, series.signal[..., echo], series.grid, sidecar)


def _truncated(session: Path, rng: np.random.Generator) -> list[Path]:
    path = max(session.glob("anat/*_MESE.nii.gz"))
    truncate(path, rng)
    return [path]


def _without_first_echo(session: Path, _: np.random.Generator) -> list[Path]:
    return remove(session.glob("anat/*echo-1_MESE.*"))


def _file(suffix: str, entities: Mapping[str, str], description: str) -> TruthFile:
    return TruthFile("anat", suffix, entities, description)


DRAWING = Drawing(
    name="mese",
    step="mese",
    stream=7,
    simulate=simulate,
    add_noise=add_noise,
    write=write,
    images="anat/*_MESE.*",
    truth={
        "r2": _file("R2map", {}, "transverse relaxation rate"),
        "mese_b1": _file("TB1map", {"desc": "mese"}, "transmit field relative to its nominal value"),
    },
    faults=(
        FaultKind("truncated file", _truncated),
        FaultKind("missing first echo", _without_first_echo),
    ),
)
