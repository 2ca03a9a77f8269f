"""Targets that read images: headers, masks, gradient echoes, diffusion series, converted DICOM."""
# ruff: noqa: E501

from __future__ import annotations

import gzip
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from qsmengine.cohort.dicom_import import convert
from qsmengine.io import dicom
from qsmengine.io.dwi import load_dwi
from qsmengine.io.gre import load_gre
from qsmengine.io.header import read_header
from qsmengine.io.masks import load_mask
from qsmengine.io.nifti import read_image
from tests.fuzz.choices import Choices
from tests.fuzz.mutations import (
    damaged_json,
    damaged_nifti,
    damaged_text,
    damaged_tree,
    damaged_voxels,
    nifti_bytes,
)
from tests.fuzz.target import Target

SHAPE = (5, 4, 6)
TYPES = ("f4", "i2", "u1", "f8", "i4", "u2")
GRE_KEYS = (
    "EchoTime", "EchoTime1", "EchoTime2", "MagneticFieldStrength", "Units", "Manufacturer", "ImageType",
    "RescaleSlope", "RescaleIntercept", "SeriesDescription", "InversionTime", "ScanningSequence",
)  # fmt: skip
DICOM_KEYS = (*GRE_KEYS, "PatientID", "StudyInstanceUID", "SeriesNumber", "ProtocolName", "EchoNumber")
B_VALUES = (0.0, *[1000.0] * 6, *[2000.0] * 6)


@cache
def _signal(volumes: int) -> Any:
    rng = np.random.default_rng(20261129)
    return rng.uniform(100.0, 900.0, (*SHAPE, volumes)).astype(np.float32)


@cache
def _phase(volumes: int) -> Any:
    return np.random.default_rng(20261130).uniform(-3.1, 3.1, (*SHAPE, volumes)).astype(np.float32)


@cache
def _vectors() -> Any:
    vectors = np.random.default_rng(20261201).normal(size=(len(B_VALUES), 3))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    vectors[0] = 0.0
    return vectors


def make_header(choices: Choices, folder: Path) -> None:
    version = choices.pick((1, 2))
    volumes = choices.pick((1, 3))
    array = np.rint(_signal(volumes) / 4).astype(choices.pick(TYPES))
    array[array < np.median(array)] = 0  # also read as a mask
    data = damaged_nifti(
        choices, nifti_bytes(array[..., 0] if volumes == 1 else array, version=version), version
    )
    if choices.one_in(8):
        data = damaged_text(choices, "") + gzip.compress(data)[: choices.pick((None, -3, -9, 40))]
    (folder / "image.nii").write_bytes(data)


def read_any_image(folder: Path) -> object:
    path = folder / "image.nii"
    header, grid = read_header(path)
    read_image(path)
    mask, notes = load_mask(path, grid)
    return header, grid.affine, mask, notes, read_image(path, dtype=np.int32).array


def make_echoes(choices: Choices, folder: Path) -> None:
    count = choices.pick((3, 1, 2, 4))
    for part, arrays in (("mag", _signal(count)), ("phase", _phase(count))):
        for echo in range(count):
            stem = f"sub-1_echo-{echo + 1}_part-{part}_MEGRE"
            array = damaged_voxels(choices, arrays[..., echo]) if choices.one_in(4) else arrays[..., echo]
            data = nifti_bytes(array)
            (folder / f"{stem}.nii").write_bytes(damaged_nifti(choices, data) if choices.one_in(6) else data)
            fields = {"EchoTime": 0.004 * (echo + 1), "MagneticFieldStrength": 3.0, "Units": "rad"}
            content = (
                damaged_json(choices, fields, GRE_KEYS) if choices.one_in(3) else json.dumps(fields).encode()
            )
            (folder / f"{stem}.json").write_bytes(content)


def read_echoes(folder: Path) -> object:
    loaded = load_gre(sorted(folder.glob("*_part-mag_*.nii")), sorted(folder.glob("*_part-phase_*.nii")))
    return loaded.series, loaded.notes


def make_diffusion(choices: Choices, folder: Path) -> None:
    signal = damaged_voxels(choices, _signal(len(B_VALUES)))
    data = nifti_bytes(signal)
    (folder / "dwi.nii").write_bytes(damaged_nifti(choices, data) if choices.one_in(6) else data)
    scale = choices.pick((1.0, 1e-3, 1e-30, 1e3, 1e30))
    (folder / "dwi.bval").write_bytes(damaged_text(choices, " ".join(f"{b * scale:g}" for b in B_VALUES)))
    table = _vectors() * (np.sqrt(np.array(B_VALUES) / 2000)[:, None] if choices.one_in(4) else 1.0)
    table = table if choices.below(2) else table.T
    text = "\n".join(" ".join(f"{value:.5f}" for value in row) for row in table)
    (folder / "dwi.bvec").write_bytes(damaged_text(choices, text))


def read_diffusion(folder: Path) -> object:
    loaded = load_dwi(folder / "dwi.nii", folder / "dwi.bval", folder / "dwi.bvec")
    series = loaded.series
    return series.signal, series.b_values, series.b_vectors, loaded.notes


def make_converted(choices: Choices, folder: Path) -> None:
    """What dcm2niix leaves behind: echoes with phase, a field map, a diffusion series, a T1-weighted image."""
    kinds = (("gre", ["GR"], ""), ("gre", ["GR"], "_ph"), ("mprage", ["GR", "IR"], ""), ("dwi", ["EP"], ""))
    for number in range(1 + choices.below(4)):
        name, sequence, ending = choices.pick(kinds)
        for echo in range(1 + choices.below(2)):
            stem = folder / f"{number + 1}_{name}_e{echo + 1}{ending}"
            array = _phase(1) if ending else _signal(len(B_VALUES) if name == "dwi" else 1)
            array = array if name == "dwi" else array[..., 0]
            data = nifti_bytes(array)
            stem.with_suffix(".nii").write_bytes(damaged_nifti(choices, data) if choices.one_in(8) else data)
            fields = {
                "SeriesNumber": number + 1, "SeriesDescription": name, "ProtocolName": name, "EchoTime": 0.005 * (echo + 1),
                "ScanningSequence": sequence, "ImageType": ["ORIGINAL", "PRIMARY", "P" if ending else "M", "ND"],
                "PatientID": "1", "StudyInstanceUID": "1.2", "MagneticFieldStrength": 3.0,
            }  # fmt: skip
            stem.with_suffix(".json").write_bytes(damaged_json(choices, fields, DICOM_KEYS))
            if name == "dwi":
                stem.with_suffix(".bval").write_bytes(damaged_text(choices, " ".join(map(str, B_VALUES))))
                rows = (" ".join(map(str, row)) for row in _vectors().T)
                stem.with_suffix(".bvec").write_bytes(damaged_text(choices, "\n".join(rows)))


def read_converted(folder: Path) -> object:
    images = sorted(folder.glob("*.nii"))

    def converted(source: Path, scratch: Path) -> tuple[list[dicom.Converted], list[str]]:
        found = [dicom._collect(image) for image in images]
        return sorted(found, key=lambda one: (one.series_number, one.image.name)), []

    with tempfile.TemporaryDirectory() as bids, patch.object(convert, "convert_dicom", converted):
        return convert.import_dicom(folder, bids, "1")


def make_echo_fields(choices: Choices, folder: Path) -> None:
    """Sidecars at two levels of a dataset."""
    (folder / "dataset_description.json").write_bytes(
        damaged_json(choices, {"Name": "x", "BIDSVersion": "1.10.0"})
    )
    fields: dict[str, Any] = {"MagneticFieldStrength": 3.0, "Units": "rad", "EchoTime": 0.004}
    (folder / "MEGRE.json").write_bytes(damaged_json(choices, fields, GRE_KEYS))
    place = folder / "sub-1" / "anat"
    place.mkdir(parents=True)
    own = damaged_tree(choices, {"EchoTime": 0.004, "RepetitionTime": 0.03}, GRE_KEYS)
    (place / "sub-1_MEGRE.json").write_bytes(json.dumps(own).encode())
    (place / "sub-1_MEGRE.nii").touch()


def read_echo_fields(folder: Path) -> object:
    from qsmengine.io.sidecars import read_sidecar

    sidecar = read_sidecar(folder / "sub-1" / "anat" / "sub-1_MEGRE.nii")
    found = [sidecar.echo_time, sidecar.field_strength, sidecar.text("Units")]
    return found, sidecar.require_number("EchoTime"), sidecar.notes


TARGETS = (
    Target("nifti", make_header, read_any_image),
    Target("gre", make_echoes, read_echoes),
    Target("dwi", make_diffusion, read_diffusion),
    Target("sidecars", make_echo_fields, read_echo_fields),
    Target("dicom", make_converted, read_converted),
)
