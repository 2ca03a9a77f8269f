"""Region tables of volumes measured by other programs: FreeSurfer, SynthSeg, FSL FIRST, SIENAX.

- FreeSurfer ``stats/aseg.stats``: structures by number, estimated total intracranial volume.
- SynthSeg's volume CSV: a row per scan, a column per structure, total intracranial volume.
- FSL FIRST: the volumes of its label image (``*_all_fast_firstseg.nii.gz``).
- ``report.sienax``: brain, grey and white matter, and the head-size factor (V scaling) that makes volumes
  comparable between heads (Smith et al. 2002, doi:10.1006/nimg.2002.1040).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.io.nifti import read_image
from qsmengine.stats.labels.forms import label_number
from qsmengine.stats.labels.tables import Label, LabelTable, load_label_table
from qsmengine.stats.regions.measure import region_table
from qsmengine.stats.tables import read_rows, read_text

INTRACRANIAL = "intracranial"
LARGEST_MEASURE = 1e12
"""Largest volume [mm^3] or number of voxels that is accepted."""
BOUNDARY = 100
"""Added by FIRST to the label of voxels at the surface of a structure before their correction."""
_COLUMNS = ("index", "region", "hemisphere", "abbreviation", "group", "n_voxels", "volume_mm3")
_SIENAX = {"GREY": "grey_matter", "WHITE": "white_matter", "BRAIN": "brain"}
_SYNTHSEG_NAMES = {
    "3rd_ventricle": "third_ventricle",
    "4th_ventricle": "fourth_ventricle",
    "brain_stem": "brainstem",
    "accumbens_area": "accumbens",
    "ventral_dc": "ventral_dc",
}


@dataclass(frozen=True)
class Sienax:
    """A SIENAX report.

    Parameters
    ----------
    scaling
        V scaling: normalised volume over volume [1].
    volumes
        "brain", "grey_matter", "white_matter" -> volume [mm^3], not normalised.
    """

    scaling: float
    volumes: Mapping[str, float]


def read_aseg(path: str | Path) -> pd.DataFrame:
    """Read FreeSurfer's ``aseg.stats``.

    Returns
    -------
    pandas.DataFrame
        As :func:`qsmengine.stats.regions.measure.region_table` without maps: a row per structure of the table
        "freesurfer-aseg", a row for both sides after each pair, and "intracranial" (eTIV) if the file has it.

    Raises
    ------
    InputError
        When the file is missing or is not an ``aseg.stats``, a line is cut, a number is not finite or negative,
        a structure is listed twice, none is known (``wmparc.stats``), or the brain is larger than the skull.
    """
    lines = read_text(path).splitlines()
    head = next((line for line in lines if line.startswith("# ColHeaders")), None)
    names = [] if head is None else head.removeprefix("# ColHeaders").split()
    needed = {"SegId", "NVoxels", "Volume_mm3"}
    if not needed <= set(names):
        raise InputError("not an aseg.stats: no '# ColHeaders' with SegId, NVoxels, Volume_mm3", source=path)
    volumes: dict[int, float] = {}
    counts: dict[int, float] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            words = line.split()
            values = dict(zip(names, words, strict=False))
            if len(words) < len(names) or not values["SegId"].isdecimal():
                raise InputError(f"line {number}: not a structure: {line.strip()[:60]!r}", source=path)
            index = label_number(values["SegId"], Path(path))
            if index in volumes:
                raise InputError(f"line {number}: structure {index} appears twice", source=path)
            volumes[index] = _measure(values["Volume_mm3"], path, f"line {number}: Volume_mm3")
            counts[index] = _measure(values["NVoxels"], path, f"line {number}: NVoxels")
    table = load_label_table("freesurfer-aseg")
    if volumes and not any(label.index in volumes for label in table.labels):
        raise InputError("none of its structures is one of aseg.stats: is it another table?", source=path)
    whole = _header_measure(lines, "EstimatedTotalIntraCranialVol", path)
    brain = _header_measure(lines, "BrainSeg", path)
    if whole is not None and brain is not None and brain > whole:
        raise InputError(
            f"{whole:.0f} mm^3 is less than the brain's {brain:.0f} (BrainSeg): correct FreeSurfer's Talairach "
            "registration, or remove this line",
            source=path, field="EstimatedTotalIntraCranialVol",
        )  # fmt: skip
    return _table(table, volumes, counts, whole)


def _header_measure(lines: list[str], name: str, path: str | Path) -> float | None:
    """Return a measure of the header of a statistics file; None if it has none of this name."""
    line = next((line for line in lines if re.match(rf"# Measure {name}\b", line)), None)
    return None if line is None else _measure(",".join(line.split(",")[-2:-1]), path, name)


def read_synthseg(path: str | Path, *, scan: str | None = None) -> pd.DataFrame:
    """Read one scan of SynthSeg's volume CSV.

    Parameters
    ----------
    path
        File written by SynthSeg's option ``--vol``.
    scan
        Name in the first column; may be omitted for a file with one row.

    Returns
    -------
    pandas.DataFrame
        As from :func:`read_aseg`, without numbers of voxels because SynthSeg sums posteriors.

    Raises
    ------
    InputError
        When the file is missing, has none of SynthSeg's columns or one twice, or the scan is ambiguous, absent,
        or listed twice, or its row is cut.
    """
    rows = [row for _, row in read_rows(path, ",")]
    table = load_label_table("synthseg")
    known = {(label.name, label.hemisphere): label.index for label in table.labels}
    columns = [_synthseg_key(cell) for cell in rows[0]] if rows else []
    if not any(key in known for key in columns):
        raise InputError("not a SynthSeg volume table: no column names one of its structures", source=path)
    again = next((key for key in columns if key in known and columns.count(key) > 1), None)
    if again is not None:
        raise InputError(f"column {' '.join(again[::-1])!r} appears twice", source=path)
    # Some versions write the numbers of the labels below their names.
    named = [row for row in rows[1:] if row[0].strip()]
    scans = {row[0].strip(): row for row in named}
    if scan is None and len(scans) != 1:
        raise InputError(f"has {len(scans)} scans, choose one: {', '.join(scans)[:200]}", source=path)
    name = next(iter(scans)) if scan is None else scan
    if name not in scans:
        raise InputError(f"has no scan {name!r}; scans: {', '.join(scans)[:200]}", source=path)
    if sum(row[0].strip() == name for row in named) > 1:
        raise InputError(f"scan {name!r} appears twice: keep one of its rows", source=path)
    if len(scans[name]) != len(columns):
        raise InputError(
            f"the row of {name!r} has {len(scans[name])} cells, the header {len(columns)}: is the file cut?",
            source=path,
        )
    pairs = list(zip(columns, scans[name], strict=True))
    volumes = {known[key]: _measure(cell, path, "_".join(key)) for key, cell in pairs if key in known}
    whole = next((cell for key, cell in pairs if key == ("total_intracranial", "midline")), None)
    intracranial = None if whole is None else _measure(whole, path, "total intracranial")
    return _table(table, volumes, {}, intracranial)


def read_first(path: str | Path) -> pd.DataFrame:
    """Read the label image of FSL FIRST; the table is as from :func:`read_aseg`.

    Raises
    ------
    InputError
        As :func:`qsmengine.io.nifti.read_image` and :func:`qsmengine.stats.regions.measure.region_table`, and
        for an image whose boundary voxels are not assigned (labels above 100, ``*_origsegs`` and ``*_first``).
    """
    labels, grid = read_image(path, dtype=np.int32)[:2]
    table = load_label_table("fsl-first")
    boundary = np.isin(labels, [BOUNDARY + label.index for label in table.labels])
    if boundary.any():
        raise InputError(
            f"{np.count_nonzero(boundary)} voxels are boundary voxels of FIRST (label + {BOUNDARY}), not yet "
            "assigned to a structure: give the boundary-corrected image, *_all_fast_firstseg.nii.gz",
            source=path,
        )
    try:
        return region_table(labels, table, {}, grid)
    except InputError as error:
        raise error.at(path) from None


def read_sienax(path: str | Path) -> Sienax:
    """Read ``report.sienax``.

    Raises
    ------
    InputError
        When the file is missing, or has no VSCALING or no line for a tissue.
    """
    scaling: float | None = None
    volumes: dict[str, float] = {}
    for line in read_text(path).splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "VSCALING":
            scaling = _measure(words[1], path, "VSCALING")
        elif len(words) >= 3 and words[0] in _SIENAX:
            volumes[_SIENAX[words[0]]] = _measure(words[2], path, words[0])
    missing = [key for key, name in _SIENAX.items() if name not in volumes]
    if scaling is None or missing:
        field = "VSCALING" if scaling is None else missing[0]
        raise InputError("missing from the report", source=path, field=field)
    if scaling == 0:
        raise InputError(f"{scaling:g} is not positive", source=path, field="VSCALING")
    return Sienax(scaling, volumes)


def add_sienax(table: pd.DataFrame, report: Sienax) -> pd.DataFrame:
    """Append the tissues of the report and the column normalised_volume_mm3, volume times V scaling."""
    tissues = pd.DataFrame(
        {
            "index": pd.array([pd.NA] * len(report.volumes), dtype="Int64"),
            "region": list(report.volumes),
            "hemisphere": "midline",
            "abbreviation": None,
            "group": None,
            "n_voxels": pd.array([pd.NA] * len(report.volumes), dtype="Int64"),
            "volume_mm3": list(report.volumes.values()),
        }
    )
    parts = [table.astype({"n_voxels": "Int64", "abbreviation": object, "group": object}), tissues]
    joined = pd.concat([part.astype({"abbreviation": object, "group": object}) for part in parts])
    joined = joined.reset_index(drop=True)
    joined["normalised_volume_mm3"] = joined["volume_mm3"] * report.scaling
    return joined


def _table(
    table: LabelTable, volumes: Mapping[int, float], counts: Mapping[int, float], intracranial: float | None
) -> pd.DataFrame:
    """Return rows in the order of the label table, with both sides together after each pair."""
    rows: list[tuple[object, ...]] = []
    left = {label.name: label for label in table.labels if label.hemisphere == "left"}
    for label in table.labels:
        if label.hemisphere == "left" or label.index not in volumes:
            if label.hemisphere == "left" and label.index in volumes:
                rows.append(_row(label, (label,), volumes, counts))
            continue
        rows.append(_row(label, (label,), volumes, counts))
        pair = left.get(label.name)
        if label.hemisphere == "right" and pair is not None and pair.index in volumes:
            both = Label(1, label.name, "bilateral", label.abbreviation, label.group)
            rows.append((None, *_row(both, (pair, label), volumes, counts)[1:]))
    if intracranial is not None:
        rows.append((None, INTRACRANIAL, "midline", None, None, None, intracranial))
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"index": "Int64", "n_voxels": "Int64"})


def _row(
    label: Label, parts: tuple[Label, ...], volumes: Mapping[int, float], counts: Mapping[int, float]
) -> tuple[object, ...]:
    count = round(sum(counts[p.index] for p in parts)) if all(p.index in counts for p in parts) else None
    volume = sum(volumes[p.index] for p in parts)
    names = (label.name, label.hemisphere, label.abbreviation or None, label.group or None)
    return (label.index, *names, count, volume)


def _synthseg_key(cell: str) -> tuple[str, str]:
    name = re.sub(r"[\s-]+", "_", cell.strip().lower())
    side = next((s for s in ("left", "right") if name.startswith(f"{s}_")), "midline")
    name = name.removeprefix(f"{side}_")
    return _SYNTHSEG_NAMES.get(name, name), side


def _measure(text: str, path: str | Path, field: str) -> float:
    """Return a volume, a count or a factor; InputError unless it is finite and >= 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number <= LARGEST_MEASURE:
        raise InputError(f"{text.strip()[:40]!r} is not a finite number >= 0", source=path, field=field)
    return number
