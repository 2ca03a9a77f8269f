"""Lesion tables on disk: read images, write two TSV with their data dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.errors import InputError
from qsmengine.grid import check_same_grid
from qsmengine.io.masks import read_mask
from qsmengine.io.nifti import read_image
from qsmengine.stats.regions.files import read_on_grid
from qsmengine.stats.regions.lesions import SMALLEST, STATISTICS, WIDTH, LesionTable, lesion_table
from qsmengine.stats.regions.measure import MIN_VOXELS
from qsmengine.stats.tables import Dictionary, write_table

COLUMNS: Dictionary = {
    "index": {
        "Description": "Number of the lesion: its value in the image, or in the order of its first voxel"
    },
    "x": {"Description": "Centre of the lesion, to the right, in scanner coordinates", "Units": "mm"},
    "y": {"Description": "Centre of the lesion, to the front, in scanner coordinates", "Units": "mm"},
    "z": {"Description": "Centre of the lesion, upwards, in scanner coordinates", "Units": "mm"},
    "n_voxels": {"Description": "Voxels of the lesion", "Units": "count"},
    "volume_mm3": {"Description": "Volume of the lesion", "Units": "mm^3"},
}
LOAD: Dictionary = {
    "n_lesions": {"Description": "Number of lesions", "Units": "count"},
    "lesion_load_ml": {"Description": "Volume of all lesions", "Units": "mL"},
    "log1p_lesion_load": {"Description": "Logarithm of 1 + lesion_load_ml, for models", "Units": "1"},
}


def load_path(path: Path) -> Path:
    """Return the file of the lesion load that belongs to a table of lesions."""
    return path.with_name(f"{path.stem}_load.tsv")


def tabulate_lesions(
    lesions: str | Path,
    maps: Mapping[str, str | Path],
    path: str | Path,
    *,
    units: Mapping[str, str],
    mask: str | Path | None = None,
    smallest: float = SMALLEST,
    width: float = WIDTH,
) -> LesionTable:
    """Read an image of lesions, maps and a mask, write both tables, and return them.

    Parameters are those of :func:`qsmengine.stats.regions.lesions.lesion_table` with files in place of arrays,
    and the `units` of the maps; `path` ends in .tsv, and the load is written next to it.

    Raises
    ------
    InputError
        When an image cannot be read, or is not on the grid of the lesions.
    """
    path = Path(path)
    array, grid, header = read_image(lesions, dtype=np.int32)
    arrays = {name: read_on_grid(grid, lesions, file) for name, file in maps.items()}
    notes = [f"{lesions}: {note}" for note in header.notes]
    inside = None
    if mask is not None:
        inside, own, found = read_mask(mask)
        check_same_grid(own, grid, mask, lesions)
        notes += found
    try:
        table = lesion_table(array, arrays, grid, mask=inside, smallest=smallest, width=width)
    except InputError as error:
        raise error.at(lesions) from None
    write_table(table.lesions, path, _dictionary(units))
    write_table(table.load, load_path(path), LOAD)
    return table._replace(notes=(*notes, *table.notes))


def _dictionary(units: Mapping[str, str]) -> Dictionary:
    dictionary: dict[str, Mapping[str, Any]] = dict(COLUMNS)
    for name, unit in units.items():
        for statistic, description in STATISTICS.items():
            text = f"{description} of {name}; n/a with fewer than {MIN_VOXELS} valid voxels"
            dictionary[f"{name}_{statistic}"] = {"Description": text, "Units": unit}
    return dictionary
