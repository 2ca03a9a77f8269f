"""Region table of series that were registered with the session's T1-weighted image."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qsmengine.cohort.plan.model import Step
from qsmengine.cohort.work.regional_maps import region_limits, region_maps
from qsmengine.cohort.work.register import ending_with, structures_of
from qsmengine.cohort.work.tasks import Place
from qsmengine.errors import InputError
from qsmengine.io.nifti import read_image
from qsmengine.io.sidecars import read_sidecar
from qsmengine.pipeline.outputs.staging import staged
from qsmengine.stats.labels.tables import load_label_table
from qsmengine.stats.regions.files import write_region_table
from qsmengine.stats.regions.weighted import Covered, Structure, weighted_region_table

if TYPE_CHECKING:
    from qsmengine.grid import Grid
    from qsmengine.sessions.placement import Weights


class _Files(NamedTuple):
    """Files of a registered series: its maps' step, and the transform to its grid."""

    maps: Sequence[str]
    transform: str


def write_own_table(
    step: Step, place: Place, before: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[str]]:
    """Write the table of the series that were registered; return its files and notes.

    Raises
    ------
    InputError
        If no series was registered, or an image cannot be read.
    """
    pairs = dict(step.options["pairs"])  # type: ignore[call-overload]
    series = {
        name: _Files(before[pairs[name]], ending_with(before[name], "xfm.txt"))
        for name in pairs
        if name in before and pairs[name] in before
    }
    if not series:
        raise InputError("no series was registered with the T1-weighted image", source=step.name)
    from qsmengine.sessions.placement import weights_of

    wanted, (anatomy,) = structures_of(step), step.after
    labels, table = (place.out / ending_with(before[anatomy], end) for end in (wanted.labels, wanted.table))
    maps, units = dict[str, dict[int, Covered]](), dict[str, str]()
    for files in series.values():
        weigh = partial(weights_of, labels, place.out / files.transform)
        found, more = covered_maps(files.maps, place.out, weigh)
        maps, units = found | maps, more | units
    made = weighted_region_table(
        _structures(labels, table), load_label_table(wanted.lut), maps, volumes=bool(step.options["volumes"])
    )
    name = next(name for name in step.outputs if name.endswith(".tsv"))
    with staged(place.out, place.scratch) as folder:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_region_table(made, folder / name, units=units, segmentation=labels.name)
        written = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    missing = [
        f"{pairs[name]}: not in the table, as it was not registered" for name in pairs if name not in series
    ]
    return written, [f"regions: {labels.name}", *missing]


def covered_maps(
    files: Sequence[str], out: Path, weigh: Callable[[Grid], Weights]
) -> tuple[dict[str, dict[int, Covered]], dict[str, str]]:
    """Return the voxels of every map that each label covers, and the unit of every map.

    Parameters
    ----------
    files
        Outputs of a step, relative to `out`.
    out
        Output folder.
    weigh
        Grid of the maps -> voxels of the labels.
    """
    chosen, limits = region_maps(files), region_limits([files])
    covered, units = {}, {}
    weights = None
    for name, file in chosen.items():
        array, grid, _ = read_image(out / file)
        values = array.astype(np.float64).ravel()
        if name in limits:
            limit, outside = limits[name]
            values[np.isin(read_image(out / limit).array, outside).ravel()] = np.nan
        weights = weights or weigh(grid)
        covered[name] = {
            label: Covered(values[index], weights.fractions[label]) for label, index in weights.indices.items()
        }
        units[name] = read_sidecar(out / file).text("Units") or "1"
    return covered, units


def _structures(labels: Path, table: Path) -> dict[int, Structure]:
    """Return the structures of a segmentation: voxels of the image; volume and faults of its table.

    Raises
    ------
    InputError
        For a table without these columns.
    """
    found = read_image(labels, dtype=np.int32).array
    numbers, counts = np.unique(found, return_counts=True)
    voxels = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    structures = {}
    with table.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            try:
                index, volume, reliable = int(row["index"]), float(row["volume"]), row["reliable"] == "1"
            except (KeyError, ValueError) as error:
                raise InputError("needs the columns index, volume, and reliable", source=table) from error
            problem = "" if reliable else row.get("reasons") or "not reliable"
            structures[index] = Structure(voxels.get(index, 0), volume, problem)
    return structures
