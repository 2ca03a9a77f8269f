"""Label tables: structure and side of every label of a segmentation.

Built in are the labels of FSL FIRST, FreeSurfer's aseg and SynthSeg, and two atlases in MNI152NLin2009cAsym
space with their label images:

- ``cit168``: subcortical nuclei, Pauli et al. 2018, doi:10.1038/sdata.2018.63 (CC BY 4.0)
- ``thalamus-hcp``: thalamic nuclei, Najdenovska et al. 2018, doi:10.1038/sdata.2018.270 (CC BY-SA 4.0)
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from qsmengine.errors import InputError, UsageError, nearest
from qsmengine.stats.labels import forms
from qsmengine.stats.tables import read_rows, read_text

DATA = Path(__file__).parent / "data"

LABEL_TABLES = {
    "fsl-first": "fsl-first_dseg.tsv",
    "freesurfer-aseg": "freesurfer-aseg_dseg.tsv",
    "synthseg": "synthseg_dseg.tsv",
    "cit168": "tpl-MNI152NLin2009cAsym_atlas-CIT168_dseg.tsv",
    "thalamus-hcp": "tpl-MNI152NLin2009cAsym_atlas-ThalamusHCP_dseg.tsv",
}
"""Built-in label tables: name -> file in the package."""

ATLASES = {
    "cit168": "tpl-MNI152NLin2009cAsym_res-01_atlas-CIT168_dseg.nii.gz",
    "thalamus-hcp": "tpl-MNI152NLin2009cAsym_res-01_atlas-ThalamusHCP_dseg.nii.gz",
}
"""Atlases with a label image: name -> file in the package."""

TEMPLATE = "tpl-MNI152NLin2009cAsym_res-01_desc-deepbrain_T1w.nii.gz"
"""T1-weighted image of the atlases' template around the deep grey matter: file in the package."""

HEADERS = (
    ("\t", "index", "name"),
    (",", "region_index", "region_name"),
    (",", "labelvalue", "name"),
    (",", "index", "name"),
)
"""Delimiter, number column and name column of tables with a header."""

SIDES = {
    **dict.fromkeys(("l", "lh", "left"), "left"),
    **dict.fromkeys(("r", "rh", "right"), "right"),
    **dict.fromkeys(("", "b", "m", "n/a", "midline", "bilateral", "both"), "midline"),
}
SIDE_FIRST = re.compile(r"^((?:ctx|wm)[-_. ])?(left|right|lh|rh|l|r)[-_. ](.+)$", re.IGNORECASE)
SIDE_LAST = re.compile(r"^()(.+)[-_. ](left|right|lh|rh|l|r)$", re.IGNORECASE)


@dataclass(frozen=True)
class Label:
    """One structure of a segmentation.

    Parameters
    ----------
    index
        Value of its voxels in the label image, >= 1.
    name
        Structure without its side; the same for left and right.
    hemisphere
        "left", "right" or "midline".
    abbreviation
        Short name; may be empty.
    group
        Set of structures it belongs to ("dgm" for deep grey matter); may be empty.
    """

    index: int
    name: str
    hemisphere: str = "midline"
    abbreviation: str = ""
    group: str = ""


@dataclass(frozen=True)
class LabelTable:
    """Labels of one segmentation with distinct indices, in ascending order."""

    name: str
    labels: tuple[Label, ...]

    def __post_init__(self) -> None:
        if not self.labels:
            raise InputError("contains no label", source=self.name)
        counts = Counter(label.index for label in self.labels)
        doubles = sorted(index for index, count in counts.items() if count > 1)
        if doubles:
            raise InputError(f"label {doubles[0]} appears in two rows", source=self.name, field="index")
        labels = tuple(sorted(self.labels, key=lambda label: label.index))
        object.__setattr__(self, "labels", _distinct_names(labels))

    def select(self, group: str) -> LabelTable:
        """Return the labels of one `group`; UsageError, naming the groups, if there is no such group."""
        chosen = tuple(label for label in self.labels if label.group == group)
        if not chosen:
            groups = sorted({label.group for label in self.labels if label.group})
            raise UsageError(
                f"{self.name}: no label belongs to group {group!r}; groups: {', '.join(groups) or 'none'}"
            )
        return LabelTable(self.name, chosen)


def load_label_table(name_or_path: str | Path) -> LabelTable:
    """Read a label table.

    Parameters
    ----------
    name_or_path
        "fsl-first", "freesurfer-aseg", "synthseg", "cit168", "thalamus-hcp", or a file: BIDS
        ``dseg.tsv`` (columns index and name; hemisphere, abbreviation, group where present), CSV with
        Region_Index and Region_Name or LabelValue and Name, or a form of
        :mod:`qsmengine.stats.labels.forms` (ITK-SNAP, FreeSurfer, 3D Slicer, MRtrix, FSL's XML, plain).
        Without a hemisphere column, the side is taken from the name ("Left-Putamen", "Pu_LH"). Label 0 is
        background and is omitted.

    Raises
    ------
    UsageError
        For a name that is neither a built-in table nor a file.
    InputError
        For a file in none of these formats; the message names the line.
    """
    name = str(name_or_path)
    if name in LABEL_TABLES:
        return LabelTable(name, _read_labels(DATA / LABEL_TABLES[name]))
    path = Path(name_or_path)
    if not path.is_file():
        close = nearest(name, LABEL_TABLES, cutoff=0.6)
        hint = f"; did you mean {close[0]!r}?" if close else f"; built in: {', '.join(LABEL_TABLES)}"
        raise UsageError(f"{name} is neither a built-in label table nor a file{hint}")
    return LabelTable(name, _read_labels(path))


def template_image() -> Path:
    """Return the T1-weighted image of the atlases' template, within 20 mm of the deep grey matter."""
    return DATA / TEMPLATE


def atlas_image(name: str) -> Path:
    """Return the path of the label image of a bundled atlas, in MNI152NLin2009cAsym space.

    Raises
    ------
    UsageError
        For a name other than "cit168" and "thalamus-hcp".
    """
    if name not in ATLASES:
        raise UsageError(f"no atlas {name!r}; bundled: {', '.join(ATLASES)}")
    return DATA / ATLASES[name]


def _read_labels(path: Path) -> tuple[Label, ...]:
    text = read_text(path)
    header = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter, index, name in HEADERS:
        columns = [column.strip().lower() for column in header.split(delimiter)]
        if index in columns and name in columns:
            return _read_columns(path, delimiter, index, name)
    return tuple(_label(number, full_name) for number, full_name in forms.read_rows(path, text) if number != 0)


def _read_columns(path: Path, delimiter: str, index: str, name: str) -> tuple[Label, ...]:
    rows = read_rows(path, delimiter)
    columns = [column.strip().lower() for column in next(rows)[1]]
    labels = []
    for line, values in rows:
        row = dict(zip(columns, (value.strip() for value in values), strict=False))
        if not row.get(index, "").isdecimal() or not row.get(name):
            raise InputError(
                f"line {line}: need a whole number >= 0 and a name, got {values}"[:120],
                source=path,
                field=index,
            )
        label = _label(forms.label_number(row[index], path), row[name])
        if label.index == 0:
            continue
        if "hemisphere" in row:
            side = row["hemisphere"].lower()
            if side not in SIDES:
                raise InputError(
                    f"line {line}: {side!r} is not left, right or midline", source=path, field="hemisphere"
                )
            label = Label(label.index, row[name], SIDES[side])
        labels.append(replace(label, abbreviation=row.get("abbreviation", ""), group=row.get("group", "")))
    return tuple(labels)


def _label(index: int, full_name: str) -> Label:
    if match := SIDE_FIRST.match(full_name):
        return Label(index, (match[1] or "") + match[3], SIDES[match[2].lower()])
    if match := SIDE_LAST.match(full_name):
        return Label(index, match[2], SIDES[match[3].lower()])
    return Label(index, full_name)


def _distinct_names(labels: tuple[Label, ...]) -> tuple[Label, ...]:
    """Append the index to a repeated (name, hemisphere), so that rows of a table are distinguishable."""
    seen: set[tuple[str, str]] = set()
    distinct = []
    for label in labels:
        if (label.name, label.hemisphere) in seen:
            label = replace(label, name=f"{label.name}_{label.index}")  # noqa: PLW2901
        seen.add((label.name, label.hemisphere))
        distinct.append(label)
    return tuple(distinct)
