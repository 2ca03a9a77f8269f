"""Drawing of series with several flip angles: simulation, noise, raw files, truth and faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import Map, VfaSeries
from qsmengine.io import write_json
from qsmengine.io.bids import BidsName
from qsmengine.phantom.drawing import Drawing, Scene, TruthFile
from qsmengine.phantom.faults import FaultKind, remove, truncate
from qsmengine.phantom.resample import FloatImage
from qsmengine.phantom.vfa import VfaSettings, b1_map, r1_map, vfa_signal, with_noise
from qsmengine.phantom.volumes import write_volume


@dataclass(frozen=True)
class VfaImages:
    """Series of one head, and the map of the transmit field `b1` (x, y, z) [1] that goes with it."""

    series: VfaSeries
    b1: FloatImage


def simulate(scene: Scene, settings: VfaSettings | None = None) -> tuple[VfaImages, Mapping[str, Map]]:
    """Return the series of a scene, and its true maps."""
    anatomy, settings = scene.anatomy, settings or VfaSettings()
    r1 = r1_map(anatomy.head, anatomy.fine.m0, anatomy.resampler)
    b1 = b1_map(scene.grid, scene.transmit_tilt, settings.b1_spread)
    series = vfa_signal(
        r1=r1, r2star=anatomy.tissue.r2star, m0=anatomy.tissue.m0, b1=b1, sensitivity=scene.coil.sensitivity,
        grid=scene.grid, settings=settings,
    )  # fmt: skip
    images = VfaImages(series, b1)
    if scene.snr is not None:
        images = add_noise(images, scene.snr, anatomy.reference, scene.rng)
    maps = {"r1": Map(r1, "1/s", scene.grid), "b1": Map(b1, "1", scene.grid)}
    return images, {**maps, "m0": Map(anatomy.tissue.m0, "1", scene.grid)}


def add_noise(
    images: VfaImages, snr: float, reference: npt.NDArray[np.bool_], rng: np.random.Generator
) -> VfaImages:
    """Add Rician noise to the series."""
    noisy = with_noise(images.series.signal, snr, reference, rng)
    return replace(images, series=replace(images.series, signal=noisy))


def write(
    images: VfaImages, session: Path, entities: Mapping[str, str], settings: Mapping[str, object]
) -> None:
    """Write every flip angle and echo with its sidecar into ``anat/``, and B1 into ``fmap/``."""
    series = images.series
    keys = list(zip(series.flip_angles, series.repetition_times, strict=True))
    angles, times = list(dict.fromkeys(keys)), sorted(set(series.echo_times))
    for volume, key in enumerate(keys):
        own = {"flip": str(angles.index(key) + 1)}
        if len(times) > 1:
            own["echo"] = str(times.index(series.echo_times[volume]) + 1)
        sidecar = {
            "FlipAngle": key[0],
            "RepetitionTimeExcitation": key[1],
            "EchoTime": series.echo_times[volume],
            "MagneticFieldStrength": series.grid.required_field_strength,
            "SimulatedSNR": settings.get("SNR"),
        }
        name = BidsName({**entities, **own}, "VFA")
        write_volume(session / "anat", name, series.signal[..., volume], series.grid, sidecar)
    write_volume(session / "fmap", BidsName(entities, "TB1map"), images.b1, series.grid, {"Units": "1"})


def _without_repetition_time(session: Path, _: np.random.Generator) -> list[Path]:
    paths = sorted(session.glob("anat/*_VFA.json"))
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {key: value for key, value in content.items() if not key.startswith("Repetition")})
    return paths


def _truncated(session: Path, rng: np.random.Generator) -> list[Path]:
    path = max(session.glob("anat/*_VFA.nii.gz"))
    truncate(path, rng)
    return [path]


def _one_flip_angle(session: Path, _: np.random.Generator) -> list[Path]:
    return remove(session.glob("anat/*flip-2*_VFA.*"))


def _file(suffix: str, description: str) -> TruthFile:
    return TruthFile("anat", suffix, {}, description)


DRAWING = Drawing(
    name="vfa",
    step="vfa",
    stream=6,
    simulate=simulate,
    add_noise=add_noise,
    write=write,
    images="anat/*_VFA.*",
    truth={
        "r1": _file("R1map", "longitudinal relaxation rate"),
        "b1": _file("TB1map", "transmit field relative to its nominal value"),
        "m0": _file("PDmap", "proton density relative to water"),
    },
    faults=(
        FaultKind("missing repetition time", _without_repetition_time),
        FaultKind("truncated file", _truncated),
        FaultKind("single flip angle", _one_flip_angle),
    ),
)
