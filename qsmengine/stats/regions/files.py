"""Region tables on disk: read images, write TSV with a data dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.masks import read_mask
from qsmengine.io.nifti import read_image
from qsmengine.stats.labels.tables import LabelTable
from qsmengine.stats.regions.measure import CORE, STATISTICS, region_table
from qsmengine.stats.tables import Dictionary, write_table

COLUMNS: Dictionary = {
    "index": {"Description": "Value of the structure's voxels in the label image; n/a for both sides together"},
    "region": {"Description": "Structure, without its side"},
    "hemisphere": {
        "Description": "Side of the structure",
        "Levels": {
            "left": "left",
            "right": "right",
            "bilateral": "voxels of left and right together",
            "midline": "structure without sides",
        },
    },
    "abbreviation": {"Description": "Short name of the structure"},
    "group": {"Description": "Set of structures it belongs to; dgm is deep grey matter"},
    "reliable": {
        "Description": "Whether volume and symmetry of the segmented structure are plausible",
        "Levels": {"1": "plausible", "0": "not reliable"},
    },
    "reasons": {"Description": "Why the structure is not reliable"},
    "n_voxels": {"Description": "Voxels of the region, inside and outside the mask", "Units": "count"},
    "volume_mm3": {
        "Description": "Volume of all voxels of the region; n/a where the label or one of two sides is absent",
        "Units": "mm^3",
    },
    "normalised_volume_mm3": {
        "Description": "volume_mm3 times the head-size factor (V scaling) of SIENAX",
        "Units": "mm^3",
    },
}
RELIABLE = "reliable"
VOLUMES = ("n_voxels", "volume_mm3", "normalised_volume_mm3")
"""Columns of values that belong to no map."""
COUNTS = {"n_valid": "count", "coverage": "1"}


def write_region_table(
    table: pd.DataFrame, path: str | Path, *, units: Mapping[str, str], segmentation: str = ""
) -> None:
    """Write a region table as BIDS TSV, and its data dictionary as JSON with the same name.

    Parameters
    ----------
    table
        From :func:`qsmengine.stats.regions.measure.region_table`.
    path
        File to write, ending in .tsv.
    units
        Unit of each map in BIDS notation: {"chi": "ppm", "fa": "1", "md": "mm^2/s"}.
    segmentation
        Image of a table with partial volumes that the structures come from; "": labels on the maps' grid.

    Raises
    ------
    InputError
        When a map of the table has no unit.
    """
    dictionary = dict(_dictionary(table, units, path))
    if segmentation:
        dictionary |= _of_segmentation(dictionary, segmentation)
    write_table(table, path, dictionary)


def _of_segmentation(dictionary: Dictionary, segmentation: str) -> dict[str, Mapping[str, Any]]:
    """Return the entries that differ where maps are weighted by the part of a voxel that a region covers."""
    changed: dict[str, Mapping[str, Any]] = {
        "index": {"Description": f"Number of the structure in {segmentation}; n/a for both sides together"},
        "n_voxels": {"Description": f"Voxels of the region in {segmentation}", "Units": "count"},
        "volume_mm3": {"Description": f"Volume of the region in {segmentation}", "Units": "mm^3"},
    }
    for column in (name for name in dictionary if name not in COLUMNS):
        name, statistic = split_column(column)
        if statistic in COUNTS:
            text = _WEIGHTED[statistic].format(name=name)
        elif statistic in CORE:
            continue
        else:
            part = "weighted by the part of each voxel in the region; n/a with fewer than 10 valid voxels"
            text = f"{STATISTICS[statistic].partition(' (')[0]} of {name}, {part}"
        changed[column] = {**dictionary[column], "Description": text}
    return changed


_WEIGHTED = {
    "n_valid": "Voxels at least half in the region with a finite value of {name}",
    "coverage": "Fraction of the region with a finite value of {name}",
}


SHOWN = 8
"""Number of labels listed in a note."""


@dataclass(frozen=True)
class Undefined:
    """Voxels where a map is undefined: an image on its grid, and the values that exclude a voxel."""

    path: Path
    values: tuple[int, ...] = (0,)


def tabulate_regions(
    labels: str | Path,
    label_table: LabelTable,
    maps: Mapping[str, str | Path],
    path: str | Path,
    *,
    units: Mapping[str, str],
    mask: str | Path | None = None,
    undefined: Mapping[str, Undefined] | None = None,
    group: str | None = None,
    notes: list[str] | None = None,
) -> pd.DataFrame:
    """Read a label image, maps and a mask, write the region table to `path` (.tsv), and return it.

    The table holds each map in the unit of its file. Parameters are those of
    :func:`qsmengine.stats.regions.measure.region_table` with files in place of arrays, `units` as in
    :func:`write_region_table`, and `undefined` excludes voxels of a single map, as `mask` does for all
    maps. Notes on label image and mask are appended to `notes`.

    Raises
    ------
    InputError
        When an image cannot be read, is not on the grid of the labels (the message gives shapes or affines), or
        a map has no unit.
    """
    label_array, grid, header = read_image(labels, dtype=np.int32)
    if notes is not None:
        notes += [f"{labels}: {note}" for note in header.notes]
        notes += [f"{labels}: {note}" for note in _unknown_labels(label_array, label_table)]
    arrays = {name: read_on_grid(grid, labels, file) for name, file in maps.items()}
    for name, where in (undefined or {}).items():
        out = np.isin(read_on_grid(grid, labels, where.path), where.values)
        arrays[name] = np.where(out, np.float32(np.nan), arrays[name])
    mask_array = None
    if mask is not None:
        mask_array, mask_grid, found = read_mask(mask)
        check_same_grid(mask_grid, grid, mask, labels)
        if notes is not None:
            notes += found
    try:
        table = region_table(label_array, label_table, arrays, grid, mask=mask_array, group=group)
    except InputError as error:
        raise error.at({"labels": labels, "mask": mask}.get(str(error.field), path)) from None
    if notes is not None:
        notes += [
            f"{maps[name]}: no region has enough finite values of {name}"
            for name in maps
            if table[f"{name}_mean"].isna().all()
        ]
    write_region_table(table, path, units=units)
    return table


def _unknown_labels(labels: Array, table: LabelTable) -> list[str]:
    """Return a note on labels of an image that its table does not name."""
    known = [0, *(label.index for label in table.labels)]
    unknown = np.setdiff1d(labels, known)
    if not unknown.size:
        return []
    shown = ", ".join(map(str, unknown[:SHOWN])) + (", ..." if unknown.size > SHOWN else "")
    count = f"{unknown.size} label{'s' if unknown.size > 1 else ''}"
    return [f"{count} of the image left out, as the table {table.name} does not name {shown}"]


def _dictionary(table: pd.DataFrame, units: Mapping[str, str], path: str | Path) -> Dictionary:
    dictionary: dict[str, Mapping[str, Any]] = dict(COLUMNS)
    known = STATISTICS | CORE
    for column in (str(c) for c in table.columns if c not in COLUMNS):
        name, statistic = split_column(column)
        if name not in units:
            raise InputError(f"no unit given for map {name!r}", source=path, field="units")
        dictionary[column] = {
            "Description": f"{known[statistic]} of {name}; n/a with fewer than 10 valid voxels"
            if statistic not in COUNTS
            else f"{known[statistic]} of {name}",
            "Units": COUNTS.get(statistic, units[name]),
        }
    return dictionary


def split_column(column: str) -> tuple[str, str]:
    """Split a column into map and statistic: "chi_n_valid" -> ("chi", "n_valid"); InputError if impossible."""
    for statistic in STATISTICS | CORE:
        if column.endswith(f"_{statistic}") and len(column) > len(statistic) + 1:
            return column[: -len(statistic) - 1], statistic
    raise InputError(f"column {column!r} is not MAP_STATISTIC", field=column)


def read_on_grid(grid: Grid, reference: str | Path, path: str | Path) -> Array:
    """Read an image; InputError naming `reference` if it is not on `grid`."""
    array, own = read_image(path, dtype=np.float32)[:2]
    check_same_grid(own, grid, path, reference)
    return array
