"""Region tables: volume of every labelled structure, and statistics of maps in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from qsmengine.data import Array, check_not_empty
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.stats.labels.forms import LARGEST
from qsmengine.stats.labels.tables import Label, LabelTable

Floats: TypeAlias = npt.NDArray[np.float64]

MIN_VOXELS = 10
"""Least number of valid voxels for which statistics are given."""

PERCENTILES = {"p05": 5.0, "p25": 25.0, "median": 50.0, "p75": 75.0, "p95": 95.0}

STATISTICS = {
    "n_valid": "Voxels of the region inside the mask with a finite value",
    "coverage": "n_valid divided by n_voxels",
    "mean": "Mean",
    "median": "Median",
    "sd": "Standard deviation (n - 1 in the denominator)",
    "p05": "5th percentile",
    "p25": "25th percentile",
    "p75": "75th percentile",
    "p95": "95th percentile",
    "min": "Smallest value",
    "max": "Largest value",
}
"""Columns that each map adds to the table, as ``MAP_STATISTIC``, with their descriptions."""

CORE = {"core": "Mean of the voxels that the region covers by nine tenths or more"}
"""Column of weighted tables in addition: it holds less of the surroundings than the weighted mean."""

KEYS = ("index", "region", "hemisphere", "abbreviation", "group")


def region_table(
    labels: Array,
    label_table: LabelTable,
    maps: Mapping[str, Array],
    grid: Grid,
    *,
    mask: Array | None = None,
    group: str | None = None,
) -> pd.DataFrame:
    """Return volume and statistics of every structure of a label image.

    The table has one row per label of `label_table`, and after each left-right pair one row ("bilateral") with
    the voxels of both sides. The volume includes all voxels of the region; statistics include those with a
    finite value inside the mask (float64, percentiles by linear interpolation). They are NaN, never 0, for an
    absent region or one with fewer than 10 valid voxels in a map; a bilateral row needs both sides.

    Parameters
    ----------
    labels
        (x, y, z) whole numbers; 0 and numbers that are not in the table are background.
    label_table
        Structures of the numbers, see :func:`qsmengine.stats.labels.tables.load_label_table`.
    maps
        Name -> (x, y, z) values in any unit.
    grid
        Geometry of all arrays.
    mask
        (x, y, z), nonzero inside; None: all voxels.
    group
        Restrict to structures of this group of the table, such as "dgm".

    Returns
    -------
    pandas.DataFrame
        Columns index, region, hemisphere, abbreviation, group, n_voxels, volume_mm3 [mm^3], and per map
        ``MAP_n_valid``, ``MAP_coverage``, ``MAP_mean``, ``_median``, ``_sd``, ``_p05``, ``_p25``, ``_p75``,
        ``_p95``, ``_min``, ``_max`` in the map's unit.

    Raises
    ------
    InputError
        For arrays that do not match the grid (the message gives both shapes), labels that are not whole
        numbers between 0 and 2147483647, an empty mask, an image without any label of the table.
    UsageError
        For a group that is not in the table.
    """
    label_array = _whole_numbers(_on_grid("labels", labels, grid))
    inside = None if mask is None else _on_grid("mask", mask, grid).ravel() != 0
    if inside is not None:
        check_not_empty(inside)
    arrays = {name: _on_grid(f"map {name}", array, grid) for name, array in maps.items()}
    if any(not name or "\t" in name for name in arrays):
        raise InputError(f"cannot name a column after {list(arrays)}", field="maps")
    voxels = _voxels_per_label(label_array, label_table)
    if not any(v.size for v in voxels.values()):
        raise InputError(
            f"contains none of the labels of table {label_table.name!r}: is it the right table, "
            "and is the label image on this grid?",
            field="labels",
        )
    rows = table_rows(label_table if group is None else label_table.select(group))
    table = _describe_rows(rows, voxels, grid.voxel_volume)
    columns = [table]
    for name, array in arrays.items():
        values = {i: _valid_values(array, v, inside) for i, v in voxels.items()}
        statistics = [_statistics(values, voxels, parts) for _, parts in rows]
        columns.append(pd.DataFrame(statistics).add_prefix(f"{name}_").astype({f"{name}_n_valid": np.int64}))
    return pd.concat(columns, axis=1)


def table_rows(table: LabelTable) -> list[tuple[Label, tuple[int, ...]]]:
    """Return the rows of the table: label that names the row, and labels whose voxels it includes."""
    right = {label.name: label for label in table.labels if label.hemisphere == "right"}
    left = {label.name for label in table.labels if label.hemisphere == "left"}
    rows: list[tuple[Label, tuple[int, ...]]] = []
    for label in table.labels:
        if label.hemisphere == "right" and label.name in left:
            continue
        rows.append((label, (label.index,)))
        if label.hemisphere == "left" and label.name in right:
            other = right[label.name]
            rows.append((other, (other.index,)))
            both = Label(0, label.name, "bilateral", label.abbreviation, label.group)
            rows.append((both, (label.index, other.index)))
    return rows


def _describe_rows(
    rows: list[tuple[Label, tuple[int, ...]]], voxels: Mapping[int, npt.NDArray[np.intp]], voxel_volume: float
) -> pd.DataFrame:
    counts = np.array([sum(voxels[i].size for i in parts) for _, parts in rows], dtype=np.int64)
    complete = np.array([all(voxels[i].size for i in parts) for _, parts in rows])
    return pd.DataFrame(
        {
            "index": pd.array([label.index or pd.NA for label, _ in rows], dtype="Int64"),
            "region": [label.name for label, _ in rows],
            "hemisphere": [label.hemisphere for label, _ in rows],
            "abbreviation": [label.abbreviation or None for label, _ in rows],
            "group": [label.group or None for label, _ in rows],
            "n_voxels": counts,
            "volume_mm3": np.where(complete, counts * voxel_volume, np.nan),
        }
    )


def _voxels_per_label(labels: Array, table: LabelTable) -> dict[int, npt.NDArray[np.intp]]:
    """Return the flat voxel indices of each label, from one stable sort of the labelled voxels."""
    indices = np.array([label.index for label in table.labels], dtype=np.int64)
    flat = labels.ravel()
    labelled = np.flatnonzero(flat)
    position = np.searchsorted(indices, flat[labelled])
    position[position == indices.size] = 0
    known = indices[position] == flat[labelled]
    labelled, position = labelled[known], position[known]
    order = np.argsort(position.astype(np.uint16 if indices.size < 65536 else np.int64), kind="stable")
    bounds = np.cumsum(np.bincount(position, minlength=indices.size))[:-1]
    parts = np.split(labelled[order], bounds)
    return {int(index): part for index, part in zip(indices, parts, strict=True)}


def _valid_values(array: Array, voxels: npt.NDArray[np.intp], inside: npt.NDArray[np.bool_] | None) -> Floats:
    """Return the finite values inside the mask at `voxels`, in ascending order."""
    values = array.ravel()[voxels].astype(np.float64)
    valid = np.isfinite(values)
    if inside is not None:
        valid &= inside[voxels]
    return np.sort(values[valid])


def _statistics(
    values: Mapping[int, Floats], voxels: Mapping[int, npt.NDArray[np.intp]], parts: tuple[int, ...]
) -> dict[str, float]:
    """Return statistics over the union of `parts`; NaN unless each part has enough valid voxels."""
    x = values[parts[0]] if len(parts) == 1 else np.sort(np.concatenate([values[i] for i in parts]))
    n_voxels = sum(voxels[i].size for i in parts)
    result = dict.fromkeys(STATISTICS, float("nan"))
    result["n_valid"] = x.size
    result["coverage"] = x.size / n_voxels if n_voxels else float("nan")
    if min(values[i].size for i in parts) >= MIN_VOXELS:
        result |= {"mean": x.mean(), "sd": x.std(ddof=1), "min": x[0], "max": x[-1]}
        result |= dict(zip(PERCENTILES, np.percentile(x, list(PERCENTILES.values())).tolist(), strict=True))
    return result


def _on_grid(name: str, array: Any, grid: Grid) -> Array:
    """Return the array in host memory and C order; InputError if it is not on the grid."""
    shape = tuple(np.shape(array))
    if shape != grid.shape:
        raise InputError(f"{name} has shape {shape}, the grid has {grid.shape}", field="shape")
    on_host = np.ascontiguousarray(array.get() if hasattr(array, "__cuda_array_interface__") else array)
    if on_host.dtype.kind not in "buif":
        raise InputError(f"{name} has values of type {on_host.dtype}, need real numbers", field="dtype")
    return on_host


def _whole_numbers(labels: Array) -> Array:
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError("not all values are finite", field="labels")
    if labels.max() > LARGEST:
        raise InputError(f"label {labels.max():g} is larger than {LARGEST}", field="labels")
    if labels.dtype.kind == "f":
        if labels.min() < 0:
            raise InputError(f"negative label {labels.min():g}", field="labels")
        whole = labels.astype(np.int64)
        if not np.array_equal(whole, labels):
            raise InputError("not all values are whole numbers: is this a label image?", field="labels")
        labels = whole
    if labels.min() < 0:
        raise InputError(f"negative label {labels.min()}", field="labels")
    return labels
