"""Drawing of T1-weighted and FLAIR images by virtual heads: simulation, noise, raw files, truth and faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import Map
from qsmengine.io.bids import BidsName
from qsmengine.phantom.anatomy import WHITE_MATTER
from qsmengine.phantom.drawing import Drawing, Scene, TruthFile
from qsmengine.phantom.faults import FaultKind, truncate
from qsmengine.phantom.gre import SmoothCoil
from qsmengine.phantom.labels import LabelArray
from qsmengine.phantom.resample import FloatImage
from qsmengine.phantom.structural import (
    CONTRASTS,
    Placement,
    StructuralSettings,
    place,
    structural_signal,
    tissue_fractions,
    with_noise,
)
from qsmengine.phantom.volumes import write_volume


@dataclass(frozen=True)
class StructuralImages:
    """Structural images of one head.

    Parameters
    ----------
    images
        BIDS suffix -> image (x, y, z).
    placement
        Their geometry, and the movement of the head since the gradient echoes.
    reference
        (x, y, z) white matter, in which the SNR is defined.
    """

    images: Mapping[str, FloatImage]
    placement: Placement
    reference: npt.NDArray[np.bool_]


def simulate(
    scene: Scene, settings: StructuralSettings | None = None
) -> tuple[StructuralImages, Mapping[str, Map]]:
    """Return the structural images of a scene, and the true tissue fractions and labels on their grid."""
    drawn, labels = draw(scene, settings or StructuralSettings())
    placement, grid = drawn.placement, drawn.placement.grid
    parts = tissue_fractions(scene.anatomy)
    truth = {name: Map(placement.average(part), "1", grid) for name, part in parts.items()}
    truth["structural_labels"] = Map(labels, "1", grid)
    return drawn, truth


def draw(scene: Scene, settings: StructuralSettings) -> tuple[StructuralImages, LabelArray]:
    """Return the structural images of a scene, and the true labels (x, y, z) on their grid."""
    anatomy = scene.anatomy
    coil, *streams = scene.rng.spawn(1 + len(settings.suffixes))
    placement = place(anatomy, scene.grid, settings)
    grid = placement.grid
    head = anatomy.head
    labels = placement.labels(head.lookup([region.label for region in head.regions], np.int16))
    reference = np.isin(labels, WHITE_MATTER)
    sensitivity = SmoothCoil.draw(coil, settings.unevenness).on(grid).sensitivity
    images = {}
    for suffix, stream in zip(settings.suffixes, streams, strict=True):
        image = sensitivity * np.abs(placement.average(structural_signal(anatomy, CONTRASTS[suffix])))
        images[suffix] = image if scene.snr is None else with_noise(image, reference, scene.snr, stream)
    return StructuralImages(images, placement, reference), labels


def add_noise(
    series: StructuralImages, snr: float, _: npt.NDArray[np.bool_], rng: np.random.Generator
) -> StructuralImages:
    """Add Rician noise of an SNR in white matter to every image."""
    noisy = {name: with_noise(image, series.reference, snr, rng) for name, image in series.images.items()}
    return replace(series, images=noisy)


def write(
    series: StructuralImages, session: Path, entities: Mapping[str, str], settings: Mapping[str, object]
) -> None:
    """Write every image with its sidecar, which contains the movement of the head, into ``anat/``."""
    for suffix, image in series.images.items():
        contrast = CONTRASTS[suffix]
        sidecar = {
            "EchoTime": contrast.echo_time,
            "InversionTime": contrast.inversion_time,
            "RepetitionTime": contrast.repetition_time,
            "MagneticFieldStrength": series.placement.grid.required_field_strength,
            "SimulatedSNR": settings.get("SNR"),
            "SimulatedMotion": series.placement.motion.tolist(),
        }
        write_volume(session / "anat", BidsName(dict(entities), suffix), image, series.placement.grid, sidecar)


def _truncated(session: Path, rng: np.random.Generator) -> list[Path]:
    paths = sorted(session.glob("anat/*_T1w.nii.gz"))
    for path in paths:
        truncate(path, rng)
    return paths


def _file(suffix: str, description: str, **entities: str) -> TruthFile:
    return TruthFile("anat", suffix, {"space": "T1w", **entities}, description)


DRAWING = Drawing(
    name="t1w",
    step="anatomy",
    stream=5,
    simulate=simulate,
    add_noise=add_noise,
    write=write,
    images="anat/*_T1w.*",
    truth={
        "GM": _file("probseg", "fraction of grey matter", label="GM"),
        "WM": _file("probseg", "fraction of white matter, lesions included", label="WM"),
        "CSF": _file("probseg", "fraction of cerebrospinal fluid", label="CSF"),
        "lesion": _file("probseg", "fraction of lesions", label="lesion"),
        "structural_labels": _file("dseg", "labels of the head"),
    },
    faults=(FaultKind("truncated T1-weighted image", _truncated),),
)
