"""Drawing of bolus series by virtual heads: simulation, noise, raw files, truth and faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array, DscSeries, Map
from qsmengine.io import read_image, write_image, write_json
from qsmengine.io.atomic import write_text
from qsmengine.io.bids import BidsName
from qsmengine.phantom.arteries import artery_share
from qsmengine.phantom.drawing import Drawing, Scene, TruthFile
from qsmengine.phantom.dsc import DscSettings, dsc_signal, dsc_truth
from qsmengine.phantom.faults import FaultKind
from qsmengine.phantom.perfusion import perfusion_maps
from qsmengine.phantom.volumes import write_volume

STEADY = 5.0
"""Time after which the signal is steady [s]."""
IGNORED = "*_dsc.*"
"""Pattern of the raw files in ``.bidsignore``; BIDS does not define their suffix yet."""
TEXTURE = 0.05
"""Relative standard deviation of blood volume and flow inside a tissue."""
FATTY = frozenset({"skin", "soft_tissue", "cancellous_bone"})
"""Tissues with much fat, whose signal fat saturation suppresses."""
UNSUPPRESSED = 0.1
"""Fraction of their signal that is left."""
SHORT = 10
"""Number of frames of a series that was stopped too early."""


def simulate(scene: Scene, settings: DscSettings | None = None) -> tuple[DscSeries, Mapping[str, Map]]:
    """Return the bolus series of a scene, and its true maps.

    `settings` are those of the sequence and the bolus; by default 60 frames of 1.5 s with one echo at 30 ms.
    """
    anatomy, settings = scene.anatomy, settings or DscSettings()
    vessels, texture, noise = scene.rng.spawn(3)
    seen = anatomy.head.lookup([UNSUPPRESSED if r.tissue in FATTY else 1.0 for r in anatomy.head.regions])
    perfusion = perfusion_maps(
        anatomy.head, anatomy.fine.m0, anatomy.resampler, artery=artery_share(anatomy.head, vessels),
        rng=texture, shares=anatomy.shares, texture=TEXTURE, delay=settings.delay, leakage=settings.leakage,
    )  # fmt: skip
    series = dsc_signal(
        perfusion=perfusion, m0=anatomy.resampler.average(anatomy.fine.m0 * seen), r2star=anatomy.tissue.r2star,
        sensitivity=scene.coil.sensitivity, grid=scene.grid, settings=settings, snr=scene.snr,
        reference=anatomy.reference, rng=noise,
    )  # fmt: skip
    return series, dsc_truth(perfusion, scene.grid)


def add_noise(
    series: DscSeries, snr: float, reference: npt.NDArray[np.bool_], rng: np.random.Generator
) -> DscSeries:
    """Add Rician noise; the SNR is that of the reference's steady-state signal at the first echo."""
    first = int(np.ceil(STEADY / series.repetition_time))
    mean = series.signals[0][reference].mean(axis=0, dtype=np.float64)
    sigma = np.float32(mean[first:].max() / snr)

    def noisy(clean: Array) -> Array:
        real = clean + sigma * rng.standard_normal(clean.shape, dtype=np.float32)
        signal: Array = np.hypot(real, sigma * rng.standard_normal(clean.shape, dtype=np.float32))
        return signal

    return replace(series, signals=tuple(noisy(signal) for signal in series.signals))


def write(
    series: DscSeries, session: Path, entities: Mapping[str, str], settings: Mapping[str, object]
) -> None:
    """Write every echo with its sidecar into ``perf/``, and the pattern of their names into ``.bidsignore``."""
    for number, (signal, time) in enumerate(zip(series.signals, series.echo_times, strict=True), start=1):
        echo = {"echo": str(number)} if len(series.signals) > 1 else {}
        sidecar = {
            "EchoTime": time,
            "RepetitionTime": series.repetition_time,
            "MagneticFieldStrength": series.grid.required_field_strength,
            "ContrastBolusIngredient": "GADOLINIUM",
            "SimulatedSNR": settings.get("SNR"),
        }
        if series.slice_times is not None and series.slice_times.any():
            sidecar["SliceTiming"] = series.slice_times.tolist()
        write_volume(session / "perf", BidsName({**entities, **echo}, "dsc"), signal, series.grid, sidecar)
    root = session.parents[len(entities.keys() & {"sub", "ses"}) - 1]
    ignore = root / ".bidsignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
    if IGNORED not in lines:
        write_text(ignore, "\n".join([*lines, IGNORED]) + "\n")


def _without_repetition_time(session: Path, _: np.random.Generator) -> list[Path]:
    paths = sorted(session.glob("perf/*_dsc.json"))
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {key: value for key, value in content.items() if key != "RepetitionTime"})
    return paths


def _stopped_early(session: Path, _: np.random.Generator) -> list[Path]:
    paths = sorted(session.glob("perf/*_dsc.nii.gz"))
    for path in paths:
        image = read_image(path)
        write_image(path, image.array[..., :SHORT], image.grid)
    return paths


def _file(suffix: str, description: str, **entities: str) -> TruthFile:
    return TruthFile("perf", suffix, entities, description)


DRAWING = Drawing(
    name="dsc",
    step="dsc",
    stream=4,
    simulate=simulate,
    add_noise=add_noise,
    write=write,
    images="perf/*_dsc.*",
    truth={
        "cbv": _file("CBV", "blood volume of the tissue, without large vessels"),
        "cbf": _file("CBF", "blood flow of the tissue"),
        "mtt": _file("MTT", "mean transit time"),
        "delay": _file("delay", "arrival in the tissue after that in the arteries"),
        "artery": _file("probseg", "fraction of artery", label="artery"),
        "vein": _file("probseg", "fraction of vein", label="vein"),
    },
    faults=(
        FaultKind("missing repetition time", _without_repetition_time),
        FaultKind("bolus series stopped early", _stopped_early),
    ),
)
