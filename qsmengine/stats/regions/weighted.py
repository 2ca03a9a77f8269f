"""Region tables with partial volumes: the part of each voxel that a structure covers weights a map.

With the fractions w of the voxels, the mean is sum(w x) / sum(w) and the standard deviation the root of
sum(w (x - mean)^2) / (sum(w) - sum(w^2) / sum(w)). A percentile p is interpolated linearly where the fractions
of the smaller values, and half of the voxel's own, make up p percent of the sum. The mean contains the map's
own partial volumes at the rim of a structure; the core, the plain mean of voxels with w >= 0.9, contains few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.stats.labels.tables import LabelTable
from qsmengine.stats.regions.measure import CORE, MIN_VOXELS, PERCENTILES, STATISTICS, Floats, table_rows

HALF = 0.5
"""Fraction from which a voxel counts as one of the region."""


INNER = 0.9
"""Fraction from which a voxel belongs to the core."""


class Covered(NamedTuple):
    """Voxels of a map that a label covers: `signal` in any unit (NaN: undefined), and fractions [1]."""

    signal: Floats
    fractions: Floats


class Structure(NamedTuple):
    """Segmented structure: number of voxels, volume [mm^3], and why it is not reliable ("" if it is)."""

    n_voxels: int
    volume: float
    problem: str = ""


def weighted_region_table(
    structures: Mapping[int, Structure],
    label_table: LabelTable,
    maps: Mapping[str, Mapping[int, Covered]],
    *,
    volumes: bool = True,
) -> pd.DataFrame:
    """Return volume, reliability and weighted statistics of every structure.

    Rows and columns are those of :func:`qsmengine.stats.regions.measure.region_table`, with the columns
    reliable (1 or 0) and reasons, and ``MAP_core``. Statistics are NaN unless each side has 10 valid voxels,
    the fractions added.

    Parameters
    ----------
    structures
        Label -> structure; labels that are absent have none.
    label_table
        Names of the labels.
    maps
        Map -> label -> its voxels.
    volumes
        Whether the table holds number of voxels and volume.

    Raises
    ------
    InputError
        If there is no structure of the table.
    """
    known = tuple(label for label in label_table.labels if label.index in structures)
    if not known:
        raise InputError(f"contains none of the labels of table {label_table.name!r}", field="labels")
    rows = table_rows(LabelTable(label_table.name, known))
    described = []
    for label, parts in rows:
        own = [structures[i] for i in parts]
        problems = dict.fromkeys(one.problem for one in own if one.problem)
        sizes = {
            "n_voxels": sum(one.n_voxels for one in own),
            "volume_mm3": sum(one.volume for one in own) if all(one.n_voxels for one in own) else np.nan,
        }
        described.append(
            {
                "index": label.index or pd.NA,
                "region": label.name,
                "hemisphere": label.hemisphere,
                "abbreviation": label.abbreviation or None,
                "group": label.group or None,
                **(sizes if volumes else {}),
                "reliable": int(not problems),
                "reasons": "; ".join(problems) or None,
            }
        )
    columns = [pd.DataFrame(described).astype({"index": "Int64"})]
    for name, covered in maps.items():
        statistics = pd.DataFrame([_statistics([covered.get(i) for i in parts]) for _, parts in rows])
        columns.append(statistics.add_prefix(f"{name}_").astype({f"{name}_n_valid": np.int64}))
    return pd.concat(columns, axis=1)


def _statistics(parts: Sequence[Covered | None]) -> dict[str, float]:
    """Return statistics over the union of the parts; NaN unless each has enough valid voxels."""
    there = [part for part in parts if part is not None]
    result = dict.fromkeys(STATISTICS | CORE, float("nan"))
    x = np.concatenate([part.signal for part in there] or [np.zeros(0)])
    w = np.concatenate([part.fractions for part in there] or [np.zeros(0)])
    valid = np.isfinite(x)
    result["n_valid"] = int((valid & (w >= HALF)).sum())
    result["coverage"] = float(w[valid].sum() / w.sum()) if w.sum() > 0 else float("nan")
    enough = [float(part.fractions[np.isfinite(part.signal)].sum()) >= MIN_VOXELS for part in there]
    if len(there) < len(parts) or not all(enough):
        return result
    x, w = x[valid], w[valid]
    total = float(w.sum())
    mean = float((w * x).sum() / total)
    spread = float((w * (x - mean) ** 2).sum() / (total - (w**2).sum() / total))
    most = x[w >= HALF] if (w >= HALF).any() else x
    result |= {"mean": mean, "sd": float(np.sqrt(spread)), "min": float(most.min()), "max": float(most.max())}
    deep = [int((np.isfinite(part.signal) & (part.fractions >= INNER)).sum()) for part in there]
    if min(deep) >= MIN_VOXELS:
        result["core"] = float(x[w >= INNER].mean())
    return result | dict(zip(PERCENTILES, _percentiles(x, w), strict=True))


def _percentiles(x: Floats, w: Floats) -> list[float]:
    order = np.argsort(x, kind="stable")
    x, w = x[order], w[order]
    places: npt.NDArray[np.float64] = 100 * (np.cumsum(w) - w / 2) / w.sum()
    return [float(value) for value in np.interp(list(PERCENTILES.values()), places, x)]
