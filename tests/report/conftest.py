import json

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest


@pytest.fixture
def save(tmp_path):
    """Write an image and return its path."""

    def write(name, array, affine=None):
        path = tmp_path / name
        nib.Nifti1Image(array, np.eye(4) if affine is None else affine).to_filename(path)
        return path

    return write


@pytest.fixture
def pixels():
    """Read a PNG as (row, column, RGB) in 0..1."""
    return lambda path: matplotlib.image.imread(path)[..., :3]


@pytest.fixture
def write_table(tmp_path):
    """Write a region table with its dictionary and return its path."""

    def write(name, rows, unit="ppm"):
        path = tmp_path / name
        lines = ["\t".join(["region", "hemisphere", "group", "chi_mean", "chi_sd"])]
        lines += ["\t".join(str(value) for value in row) for row in rows]
        path.write_text("\n".join(lines) + "\n")
        path.with_suffix(".json").write_text(json.dumps({"chi_mean": {"Units": unit}}))
        return path

    return write
