"""Builders of image files, written with nibabel or byte by byte, independent of qsmengine's writer."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from qsmengine.demo_data import demo_path
from qsmengine.io import load_gre

TEST_DATA = Path(__file__).parent.parent / "data"
AFFINE = np.array([[-1.5, 0, 0, 20], [0, 1.5, 0, -30], [0, 0, 2.0, 5], [0, 0, 0, 1.0]])


@pytest.fixture(scope="session")
def test_data():
    return TEST_DATA


@pytest.fixture
def truth(rng):
    """Magnitude and phase [rad] of three echoes (9, 8, 7, 3)."""
    magnitude = rng.uniform(1, 100, (9, 8, 7, 3)).astype(np.float32)
    phase = rng.uniform(-math.pi, math.pi, (9, 8, 7, 3)).astype(np.float32)
    return magnitude, phase


@pytest.fixture
def save(tmp_path):
    """Write an array as NIfTI: save(name, array, affine=..., slope=..., inter=..., sidecar={...}, **header)."""

    def _save(
        name, array, *, affine=AFFINE, slope=None, inter=None, sidecar=None, version=1, endian="<", **fields
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = nib.Nifti1Header if version == 1 else nib.Nifti2Header
        header = kind(endianness=endian)
        header.set_data_shape(array.shape)
        header.set_data_dtype(array.dtype)
        header.set_sform(affine, 1)
        header.set_qform(affine, 1)
        header["magic"] = b"n+1\0" if version == 1 else b"n+2\0\r\n\x1a\n"
        header["vox_offset"] = 352 if version == 1 else 544
        header["scl_slope"] = 1.0 if slope is None else slope
        header["scl_inter"] = 0.0 if inter is None else inter
        for key, value in fields.items():
            header[key] = value
        voxels = array.astype(array.dtype.newbyteorder(endian)).tobytes(order="F")
        content = header.binaryblock + b"\0\0\0\0" + voxels
        path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
        if sidecar is not None:
            stem = path.name.removesuffix(".gz").removesuffix(".nii")
            path.with_name(stem + ".json").write_text(json.dumps(sidecar))
        return path

    return _save


@pytest.fixture
def rng():
    return np.random.default_rng(20240611)


@pytest.fixture(scope="session")
def real_echoes():
    """Magnitude and phase (x, y, z, echo) of a real head."""
    folder = demo_path("philips-gre-2echo-brain")
    names = [[folder / f"echo-{echo}_{part}.nii.gz" for echo in (1, 2)] for part in ("mag", "phase")]
    series = load_gre(*names).series
    return series.magnitude, series.phase
