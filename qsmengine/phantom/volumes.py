"""Images of a virtual dataset with their sidecars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.io import write_image, write_json
from qsmengine.io.bids import BidsName


def write_volume(folder: Path, name: BidsName, array: Array, grid: Grid, sidecar: Mapping[str, object]) -> None:
    """Write an image and its sidecar."""
    path = folder / name.filename
    write_image(path, array, grid)
    write_json(str(path).removesuffix(".nii.gz") + ".json", dict(sidecar))
