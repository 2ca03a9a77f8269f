"""A virtual head as a BIDS dataset: raw series as from a scanner, truth under derivatives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qsmengine.data import Array, DwiSeries, GreSeries
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.io import write_image, write_json, write_text
from qsmengine.io.bids import BIDS_VERSION, BidsName, write_dataset_description
from qsmengine.phantom.head import VirtualHead
from qsmengine.phantom.shim import SCALE, TERMS
from qsmengine.units import hz_per_ppm
from qsmengine.version import __version__

MAPS: Mapping[str, tuple[str, str, dict[str, str], str]] = {
    "chi": ("anat", "Chimap", {}, "magnetic susceptibility relative to water"),
    "r2star": ("anat", "R2starmap", {}, "transverse relaxation rate of gradient echoes"),
    "m0": ("anat", "PDmap", {}, "proton density relative to water"),
    "total_field": ("anat", "fieldmap", {"desc": "total"}, "field after shimming"),
    "background_field": (
        "anat",
        "fieldmap",
        {"desc": "background"},
        "field of all but the brain, after shimming",
    ),
    "local_field": ("anat", "fieldmap", {"desc": "local"}, "field of the susceptibility inside the brain mask"),
    "fa": ("dwi", "dwimap", {"model": "tensor", "param": "fa"}, "fractional anisotropy"),
    "md": ("dwi", "dwimap", {"model": "tensor", "param": "md"}, "mean diffusivity"),
    "v1": ("dwi", "dwimap", {"model": "tensor", "param": "v1"}, "principal direction along the array axes"),
    "s0": ("dwi", "dwimap", {"model": "tensor", "param": "s0"}, "signal at b = 0"),
}
"""Truth map -> folder, suffix, entities, description."""


def write_bids(head: VirtualHead, out_dir: str | Path, subject: str | None = None) -> Path:
    """Write `head` as a subject of the BIDS dataset `out_dir`; return the subject's raw folder.

    Raw: `anat/*_MEGRE` magnitude and phase [rad] per echo, `dwi/*_dwi` with its gradient table. Truth under
    `derivatives/truth`: chi [ppm], R2* [1/s], fields [Hz], brain mask, labels with their table, tensor maps.

    Parameters
    ----------
    head
        From :func:`~qsmengine.phantom.virtual_head`.
    out_dir
        Root of the dataset.
    subject
        Label of the subject; by default the number of the head ("01" to "03").

    Raises
    ------
    UsageError
        For a subject that is not letters and digits.
    OSError
        From the file system.
    """
    if subject is None:
        subject = f"{head.settings.get('Subject', 1):02d}"
    if not re.fullmatch(r"[0-9a-zA-Z]+", subject):
        raise UsageError(f"subject: {subject!r} is not letters and digits only")
    root = Path(out_dir)
    folder = root / f"sub-{subject}"
    write_json(
        root / "dataset_description.json",
        {
            "Name": "Virtual heads",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "raw",
            "GeneratedBy": [{"Name": "qsmengine", "Version": __version__, "Description": "virtual head"}],
        },
    )
    if head.gre is not None:
        write_gre(head.gre, folder / "anat", {"sub": subject}, head.settings)
    if head.dwi is not None:
        write_dwi(head.dwi, folder / "dwi", {"sub": subject}, head.settings)
    _write_truth(head, root / "derivatives" / "truth", subject)
    return folder


def write_gre(
    gre: GreSeries, folder: Path, entities: Mapping[str, str], settings: Mapping[str, object]
) -> None:
    """Write every echo's magnitude and phase [rad] with sidecars into `folder`; `entities` name the session."""
    for echo, time in enumerate(gre.echo_times):
        for part, array, units in (("mag", gre.magnitude, "arbitrary"), ("phase", gre.phase, "rad")):
            name = BidsName({**entities, "echo": str(echo + 1), "part": part}, "MEGRE")
            sidecar = {
                "EchoTime": time,
                "MagneticFieldStrength": gre.grid.required_field_strength,
                "Units": units,
                "SimulatedSNR": settings.get("SNR"),
            }
            write_volume(folder, name, array[..., echo], gre.grid, sidecar)


def write_dwi(
    dwi: DwiSeries, folder: Path, entities: Mapping[str, str], settings: Mapping[str, object]
) -> None:
    """Write a diffusion series with its gradient table into `folder`; `entities` name the session."""
    name = BidsName(entities, "dwi")
    sidecar = {"MagneticFieldStrength": dwi.grid.required_field_strength, "SimulatedSNR": settings.get("SNR")}
    write_volume(folder, name, dwi.signal, dwi.grid, sidecar)
    stem = str(folder / name.filename).removesuffix(".nii.gz")
    write_text(f"{stem}.bval", " ".join(f"{b:g}" for b in dwi.b_values) + "\n")
    rows = (" ".join(f"{value:.8f}" for value in row) for row in dwi.b_vectors.T)
    write_text(f"{stem}.bvec", "\n".join(rows) + "\n")


def _write_truth(head: VirtualHead, root: Path, subject: str) -> None:
    write_dataset_description(
        root, name="Truth of the virtual heads", version=__version__, command="virtual head"
    )
    folder = root / f"sub-{subject}"
    shim = dict(zip(TERMS, head.shim.coefficients, strict=True))
    field_factor = hz_per_ppm(head.grid.required_field_strength)
    for key, (where, suffix, entities, description) in MAPS.items():
        if key not in head.truth:
            continue
        truth = head.truth[key]
        sidecar: dict[str, object] = {"Description": description, "Units": truth.unit, **head.settings}
        array = truth.array
        if suffix == "fieldmap":
            array = array * np.float32(field_factor)
            sidecar |= {"Units": "Hz", "Shim": {"Unit": "ppm", "ScaleInMillimetres": SCALE, "Terms": shim}}
        write_volume(folder / where, BidsName({"sub": subject, **entities}, suffix), array, head.grid, sidecar)
    mask = BidsName({"sub": subject, "desc": "brain"}, "mask")
    write_volume(folder / "anat", mask, head.mask, head.grid, {"Type": "Brain"})
    labels = BidsName({"sub": subject}, "dseg")
    write_volume(
        folder / "anat", labels, head.labels, head.grid, {"Description": "labels of SynthSeg's training map"}
    )
    rows = ["index\tname", *(f"{label}\t{name}" for label, name in head.label_names.items())]
    write_text(folder / "anat" / BidsName({"sub": subject}, "dseg", ".tsv").filename, "\n".join(rows) + "\n")


def write_volume(folder: Path, name: BidsName, array: Array, grid: Grid, sidecar: Mapping[str, object]) -> None:
    """Write an image and its sidecar."""
    path = folder / name.filename
    write_image(path, array, grid)
    write_json(str(path).removesuffix(".nii.gz") + ".json", dict(sidecar))
