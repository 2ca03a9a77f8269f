"""The bundled whole-head label maps (origin and licence: data/README.md)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.io import read_image

LabelArray = npt.NDArray[np.int16]
SUBJECTS = (1, 2, 3)
"""Bundled heads."""


@dataclass(frozen=True)
class Region:
    """A row of the label table.

    Parameters
    ----------
    label
        FreeSurfer / SynthSeg number.
    name, hemisphere
        Name; ``left``, ``right`` or ``n/a``.
    tissue
        Class in ``tissue.yaml``.
    brain
        Whether voxels of this index belong to the brain mask.
    """

    label: int
    name: str
    hemisphere: str
    tissue: str
    brain: bool


@dataclass(frozen=True)
class HeadIndex:
    """The stored form: `index` (x, y, z) uint8 points into `regions`; two regions may share a label."""

    index: npt.NDArray[np.uint8]
    regions: tuple[Region, ...]
    grid: Grid

    def lookup(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        """(x, y, z) array of one value per region, given in the order of `regions`."""
        return np.take(np.asarray(values, dtype=dtype), self.index, mode="clip")


@cache
def load_head_index(subject: int = 1) -> HeadIndex:
    """Return the label map of `subject` as stored: 1 mm, RAS, with its table. Cached; the array is read-only.

    Raises
    ------
    UsageError
        For a subject other than 1, 2 or 3.
    """
    if subject not in SUBJECTS:
        raise UsageError(f"subject: there is no head {subject!r}; heads 1, 2 and 3 are bundled")
    folder = resources.files("qsmengine.phantom") / "data"
    table = (folder / f"head{subject:02d}_dseg.tsv").read_text(encoding="utf-8").splitlines()
    regions = []
    for row in table[1:]:
        _, label, name, hemisphere, tissue, brain = row.split("\t")
        regions.append(Region(int(label), name, hemisphere, tissue, brain == "1"))
    with resources.as_file(folder / f"head{subject:02d}_dseg.nii.gz") as path:
        image = read_image(path, dtype=np.uint8)
    index = np.ascontiguousarray(image.array)
    index.setflags(write=False)
    return HeadIndex(index, tuple(regions), image.grid)


def load_head_labels(subject: int = 1) -> tuple[LabelArray, Grid]:
    """Return labels (x, y, z) int16 in FreeSurfer / SynthSeg numbers and their grid (1 mm, RAS, cropped)."""
    head = load_head_index(subject)
    return head.lookup([region.label for region in head.regions], np.int16), head.grid


def region_names(regions: tuple[Region, ...]) -> dict[int, str]:
    """Return label -> name, with the hemisphere as prefix if there is one; air is omitted."""
    names = {}
    for region in regions:
        side = "" if region.hemisphere == "n/a" else f"{region.hemisphere}_"
        if region.label:
            names[region.label] = side + region.name
    return dict(sorted(names.items()))
