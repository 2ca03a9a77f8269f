"""Lesion tables: volume of every lesion, and maps in its core, its rim and its surroundings.

With the distance d of a voxel's centre from the nearest voxel on the other side of the lesion's border, and a
width w, the rim are the lesion's voxels with d <= w, the core those with d > w, and the surroundings the voxels
outside, of no other lesion, with d <= w. A paramagnetic rim raises

    rim score = 90th percentile of the rim - median of the core.

Absinta et al. 2019, 10.1001/jamaneurol.2019.2399 (paramagnetic rims).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from qsmengine.data import Array
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.stats.regions.measure import MIN_VOXELS

STATISTICS = {
    "median": "Median of the lesion",
    "core": "Median of the core",
    "rim": "Median of the rim",
    "outside": "Median of the surroundings",
    "rim_score": "90th percentile of the rim minus the median of the core",
}
"""Columns that each map adds to the table, as ``MAP_STATISTIC``, with their descriptions."""
SMALLEST = 3.0
"""Default of the smallest lesion [mm^3]."""
WIDTH = 2.0
"""Default width of the rim and of the surroundings [mm]."""

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]


class LesionTable(NamedTuple):
    """Lesions of one image.

    Parameters
    ----------
    lesions
        One row per lesion, the largest first.
    load
        One row: number of lesions, volume [mL], and log(1 + volume).
    notes
        Decisions.
    """

    lesions: pd.DataFrame
    load: pd.DataFrame
    notes: tuple[str, ...]


def lesion_table(
    lesions: Array,
    maps: Mapping[str, Array],
    grid: Grid,
    *,
    mask: Array | None = None,
    smallest: float = SMALLEST,
    width: float = WIDTH,
) -> LesionTable:
    """Return volume, position and statistics of every lesion.

    Parameters
    ----------
    lesions
        (x, y, z) whole numbers, 0 outside lesions. With a single other value, voxels that touch (26 neighbours)
        form a lesion; with several, each value is a lesion. An image without lesions has an empty table.
    maps
        Name -> (x, y, z) values in any unit; values that are not finite are left out.
    grid
        Geometry of all arrays.
    mask
        (x, y, z), nonzero where maps are valid; None: everywhere.
    smallest
        Smaller lesions are left out [mm^3].
    width
        Of the rim and of the surroundings [mm].

    Returns
    -------
    LesionTable
        Lesions with the columns index, x, y, z [mm], n_voxels, volume_mm3, and per map those of `STATISTICS`;
        statistics of fewer than 10 valid voxels are missing.

    Raises
    ------
    InputError
        For arrays that do not match the grid, and lesions that are not whole numbers from 0.
    UsageError
        For a size below 0 or a width that is not positive.
    """
    if not (smallest >= 0 and 0 < width < math.inf):
        raise UsageError(f"smallest lesion {smallest:g} mm^3 or width {width:g} mm is out of range")
    for name, array in {"lesions": lesions, **maps, **({} if mask is None else {"mask": mask})}.items():
        if np.shape(array) != grid.shape:
            raise InputError(f"{name} has shape {np.shape(array)}, the grid has {grid.shape}", field="shape")
    index, notes = _instances(lesions)
    volume = grid.replace(length_scale=None).voxel_volume
    boxes = _boxes(index, grid, width)
    rows = [
        _row(number, box, index, maps, grid, mask, volume, width)
        for number, box in boxes
        if np.count_nonzero(index[box] == number) * volume >= smallest
    ]
    if len(rows) < len(boxes):
        notes.append(f"{len(boxes) - len(rows)} lesions smaller than {smallest:g} mm^3 left out")
    columns = ["index", "x", "y", "z", "n_voxels", "volume_mm3"]
    columns += [f"{name}_{statistic}" for name in maps for statistic in STATISTICS]
    table = pd.DataFrame(rows, columns=columns).astype({"index": np.int64, "n_voxels": np.int64})
    table = table.sort_values(["volume_mm3", "index"], ascending=[False, True], ignore_index=True)
    return LesionTable(table, _load(table), tuple(notes))


def _row(
    number: int,
    box: Box,
    index: npt.NDArray[np.int64],
    maps: Mapping[str, Array],
    grid: Grid,
    mask: Array | None,
    volume: float,
    width: float,
) -> dict[str, Any]:
    """Return the row of the lesion `number` in its box; `volume` is that of a voxel [mm^3]."""
    inside = index[box] == number
    count = int(inside.sum())
    centre = np.argwhere(inside).mean(axis=0) + [part.start for part in box]
    x, y, z = (grid.affine @ [*centre, 1.0])[:3]
    row: dict[str, Any] = {
        "index": number, "x": x, "y": y, "z": z, "n_voxels": count, "volume_mm3": count * volume,
    }  # fmt: skip
    parts = _parts(inside, index[box] > 0, grid, width)
    valid = None if mask is None else np.asarray(mask)[box] != 0
    for name, array in maps.items():
        row |= {f"{name}_{key}": value for key, value in _statistics(array[box], parts, valid).items()}
    return row


def _instances(lesions: Array) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return the number of the lesion in each voxel, and a note on how lesions are separated."""
    from scipy.ndimage import label

    values = np.asarray(lesions)
    if not np.isfinite(values).all() or values.min() < 0 or not np.array_equal(values, np.rint(values)):
        raise InputError("not whole numbers from 0: is this an image of lesions?", field="lesions")
    numbers = np.unique(values[values > 0])
    if numbers.size > 1:
        return values.astype(np.int64), [f"each of the {numbers.size} values is a lesion"]
    found, count = label(values > 0, structure=np.ones((3, 3, 3), int))
    return found.astype(np.int64), [f"{count} connected lesions"]


def _boxes(index: npt.NDArray[np.int64], grid: Grid, width: float) -> list[tuple[int, Box]]:
    """Return each lesion's number and its box, wider than the lesion by its surroundings."""
    from scipy.ndimage import find_objects

    numbers, compact = np.unique(index, return_inverse=True)
    reach = [math.ceil(width / edge) + 1 for edge in grid.voxel_edges]
    boxes = []
    for place, found in enumerate(find_objects(compact.reshape(index.shape)), start=1):
        x, y, z = (
            slice(max(0, part.start - more), min(n, part.stop + more))
            for part, more, n in zip(found, reach, index.shape, strict=True)
        )
        boxes.append((int(numbers[place]), (x, y, z)))
    return boxes


def _parts(inside: Mask, any_lesion: Mask, grid: Grid, width: float) -> dict[str, Mask]:
    """Return lesion, core, rim and surroundings (x, y, z)."""
    from scipy.ndimage import distance_transform_edt

    reach = width + 1e-3 * min(grid.voxel_edges)
    depth = distance_transform_edt(np.pad(inside, 1), sampling=grid.voxel_edges)[1:-1, 1:-1, 1:-1]
    away = distance_transform_edt(~inside, sampling=grid.voxel_edges)
    return {
        "median": inside,
        "core": inside & (depth > reach),
        "rim": inside & (depth <= reach),
        "outside": ~any_lesion & (away <= reach),
    }


def _statistics(array: Array, parts: Mapping[str, Mask], valid: Mask | None) -> dict[str, float]:
    known = np.isfinite(array) if valid is None else np.isfinite(array) & valid
    values = {name: array[where & known].astype(np.float64) for name, where in parts.items()}
    enough = {name: each.size >= MIN_VOXELS for name, each in values.items()}
    found = {name: float(np.median(each)) if enough[name] else math.nan for name, each in values.items()}
    both = enough["core"] and enough["rim"]
    found["rim_score"] = float(np.percentile(values["rim"], 90)) - found["core"] if both else math.nan
    return found


def _load(table: pd.DataFrame) -> pd.DataFrame:
    volume = float(table["volume_mm3"].sum()) / 1e3
    return pd.DataFrame(
        {"n_lesions": [len(table)], "lesion_load_ml": [volume], "log1p_lesion_load": [math.log1p(volume)]}
    )
