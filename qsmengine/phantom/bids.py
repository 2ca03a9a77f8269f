"""A virtual head as a BIDS dataset: raw series as from a scanner, truth under derivatives."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from qsmengine.errors import UsageError
from qsmengine.io import write_json, write_text
from qsmengine.io.bids import BIDS_VERSION, BidsName, write_dataset_description
from qsmengine.phantom.drawing import TruthFile
from qsmengine.phantom.head import VirtualHead
from qsmengine.phantom.shim import SCALE, TERMS
from qsmengine.phantom.volumes import write_volume
from qsmengine.units import hz_per_ppm
from qsmengine.version import __version__

MAPS = {
    "chi": TruthFile("anat", "Chimap", {}, "magnetic susceptibility relative to water"),
    "r2star": TruthFile("anat", "R2starmap", {}, "transverse relaxation rate of gradient echoes"),
    "m0": TruthFile("anat", "PDmap", {}, "proton density relative to water"),
    "total_field": TruthFile("anat", "fieldmap", {"desc": "total"}, "field after shimming"),
    "background_field": TruthFile(
        "anat", "fieldmap", {"desc": "background"}, "field of all but the brain, after shimming"
    ),
    "local_field": TruthFile(
        "anat", "fieldmap", {"desc": "local"}, "field of the susceptibility inside the brain mask"
    ),
}
"""True map of every head -> its file."""


def write_bids(head: VirtualHead, out_dir: str | Path, subject: str | None = None) -> Path:
    """Write `head` as a subject of the BIDS dataset `out_dir`; return the subject's raw folder.

    Raw, as far as the head has them: `anat/*_MEGRE` magnitude and phase [rad] per echo, `dwi/*_dwi` with its
    gradient table, `anat/*_T1w` and `anat/*_FLAIR`. Truth under `derivatives/truth`: chi [ppm], R2* [1/s],
    fields [Hz], brain mask, labels with their table, tensor maps.

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
    for drawing, series in head.images:
        drawing.write(series, folder, {"sub": subject}, head.settings)
    _write_truth(head, root / "derivatives" / "truth", subject)
    return folder


def _write_truth(head: VirtualHead, root: Path, subject: str) -> None:
    write_dataset_description(
        root, name="Truth of the virtual heads", version=__version__, command="virtual head"
    )
    folder = root / f"sub-{subject}"
    shim = dict(zip(TERMS, head.shim.coefficients, strict=True))
    field_factor = hz_per_ppm(head.grid.required_field_strength)
    files = MAPS | {key: file for drawing, _ in head.images for key, file in drawing.truth.items()}
    for key, (where, suffix, entities, description) in files.items():
        if key not in head.truth:
            continue
        truth = head.truth[key]
        sidecar: dict[str, object] = {"Description": description, "Units": truth.unit, **head.settings}
        array = truth.array
        if suffix == "fieldmap":
            array = array * np.float32(field_factor)
            sidecar |= {"Units": "Hz", "Shim": {"Unit": "ppm", "ScaleInMillimetres": SCALE, "Terms": shim}}
        write_volume(folder / where, BidsName({"sub": subject, **entities}, suffix), array, truth.grid, sidecar)
    mask = BidsName({"sub": subject, "desc": "brain"}, "mask")
    write_volume(folder / "anat", mask, head.mask, head.grid, {"Type": "Brain"})
    labels = BidsName({"sub": subject}, "dseg")
    write_volume(
        folder / "anat", labels, head.labels, head.grid, {"Description": "labels of SynthSeg's training map"}
    )
    rows = ["index\tname", *(f"{label}\t{name}" for label, name in head.label_names.items())]
    write_text(folder / "anat" / BidsName({"sub": subject}, "dseg", ".tsv").filename, "\n".join(rows) + "\n")
