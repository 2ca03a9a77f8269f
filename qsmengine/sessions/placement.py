"""Structures of a T1-weighted image on the grid of a series: registration, check, and weights for means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.api.registration import refusal
from qsmengine.data import Map
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.atomic import write_json, write_text
from qsmengine.io.masks import load_mask
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.transforms import read_matrix, write_matrix
from qsmengine.modalities.derived import REGISTRATION
from qsmengine.modalities.placed import Names
from qsmengine.ops.alignment import Alignment, Limits, align
from qsmengine.ops.transforms import Part, Transform, Volume, boxed_fractions, bring, most_of
from qsmengine.pipeline.outputs.maps import sidecar_of
from qsmengine.pipeline.outputs.provenance import describe_input, software
from qsmengine.records import record
from qsmengine.sessions.registration import check_facts

MARGIN = 3.0
"""Distance from the brain mask [mm] within which the series' reference counts."""
DESCRIPTION = "labels of the deep grey matter, in the numbers of FreeSurfer"
DOI = "10.1016/j.neuroimage.2010.09.025"


@record
class Placement:
    """Series and segmented T1-weighted image of one head.

    Parameters
    ----------
    reference
        Image of the series (x, y, z).
    description
        What `reference` is.
    image, labels, table
        Brain of the T1-weighted image, its labels, and their table.
    sources
        Files of the series.
    mask
        Brain mask of the series; None: the whole image counts.
    notes
        Decisions of the plan.
    borrowed
        Whether the T1-weighted image is that of another session of the subject.
    """

    reference: Map
    description: str
    image: Path
    labels: Path
    table: Path
    sources: Sequence[Path]
    mask: Path | None = None
    notes: tuple[str, ...] = ()
    borrowed: bool = False


def place_structures(
    placement: Placement, names: Names, folder: Path, limits: Limits | None = None
) -> list[str]:
    """Register brain and series rigidly, check the result, and write the files of `names`.

    Returns a note on the check.

    Raises
    ------
    InputError
        If an image cannot be used, or the alignment misses a limit.
    DeviceError
        If the registration library is missing.
    """
    limits = limits or Limits()
    image, source = read_image(placement.image)[:2]
    grid = placement.reference.grid
    fixed = np.asarray(placement.reference.array, dtype=np.float32)
    found = _aligned(placement, fixed, image, source, limits)
    labels = read_image(placement.labels, dtype=np.int32).array
    part = boxed_fractions(labels, source, grid, found.transform, _numbers(labels))
    native = np.zeros(grid.shape, np.int16)
    native[part.box] = most_of(part.fractions, _numbers(labels))
    for path in names:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    write_matrix(folder / names.transform, found.transform.matrix)
    write_image(folder / names.reference, fixed, grid)
    write_image(folder / names.moved, bring(image, source, grid, found.transform, order=3), grid)
    write_image(folder / names.labels, native, grid)
    write_text(folder / names.table, placement.table.read_text(encoding="utf-8"))
    shared = {"SpatialReference": f"bids::{names.reference.as_posix()}", "Sources": [placement.image.name]}
    write_json(folder / sidecar_of(names.moved), {**shared, "SkullStripped": True})
    write_json(folder / sidecar_of(names.labels), {**shared, "Description": DESCRIPTION})
    note = _note(placement, found)
    write_json(folder / names.provenance, _provenance(placement, names, found, limits, note))
    return [note]


def _note(placement: Placement, found: Alignment) -> str:
    said = found.agreement
    mirror = "" if found.mirror is None else f", {found.mirror:.2f} times the mirror image"
    return (
        f"structures of {placement.image.name}: rigid registration, information {said.information:.3f}, "
        f"overlap {said.overlap:.2f}, edges {said.edges:.2f}{mirror}"
    )


def _aligned(placement: Placement, fixed: Volume, image: Volume, source: Grid, limits: Limits) -> Alignment:
    grid = placement.reference.grid
    shown = fixed if placement.mask is None else fixed * _near(placement.mask, grid)
    try:
        found = align(shown, grid, np.ascontiguousarray(image), source, limits=limits)
    except InputError as error:
        name = placement.image if str(error.source) == "moving image" else placement.sources[0]
        raise error.at(name) from error
    if found.problems:
        raise InputError(f"{refusal(found)}; no labels are brought to the maps", source=placement.image)
    return found


def _near(path: Path, grid: Grid) -> npt.NDArray[np.bool_]:
    """Return the voxels (x, y, z) within `MARGIN` of a brain mask."""
    from scipy.ndimage import distance_transform_edt

    mask = load_mask(path, grid)[0]
    return np.asarray(distance_transform_edt(~mask, sampling=grid.voxel_edges) <= MARGIN)


def _numbers(labels: npt.NDArray[np.integer]) -> tuple[int, ...]:
    return tuple(int(number) for number in np.unique(labels) if number > 0)


def _provenance(
    placement: Placement, names: Names, found: Alignment, limits: Limits, note: str
) -> dict[str, Any]:
    parameters = limits._asdict() | ({"another_session": True} if placement.borrowed else {})
    step = {"Stage": REGISTRATION.step, "Method": found.kind, "DOI": DOI, "Parameters": parameters}
    files = [*placement.sources, placement.image, placement.labels]
    return {
        "Software": software(),
        "Device": "cpu",
        "Steps": [step],
        "Check": check_facts(found, placement.image.name, names.reference.name, limits),
        "Reference": placement.description,
        "Transform": names.transform.name,
        "Inputs": [describe_input(path) for path in files],
        "Notes": [*placement.notes, note],
    }


@record
class Weights:
    """Fraction of voxels that each label covers: label -> flat indices and fractions [1] of the voxels."""

    indices: Mapping[int, npt.NDArray[np.intp]]
    fractions: Mapping[int, npt.NDArray[np.float64]]


def weights_of(labels: Path, transform: Path, grid: Grid) -> Weights:
    """Return the voxels of `grid` that labels of another image cover, under a transform on disk.

    Raises
    ------
    InputError
        For a file that cannot be read.
    """
    image, source = read_image(labels, dtype=np.int32)[:2]
    numbers = _numbers(image)
    part = boxed_fractions(image, source, grid, Transform(read_matrix(transform)), numbers)
    return as_weights(part, numbers, grid)


def as_weights(part: Part, numbers: Sequence[int], grid: Grid) -> Weights:
    """Return the voxels of `grid` that the labels `numbers` cover, from their fractions in a part of it."""
    fractions, box = part
    places = np.arange(grid.size).reshape(grid.shape)[box]
    indices, parts = {}, {}
    for k, number in enumerate(numbers):
        covered = fractions[..., k] > 0
        indices[number] = places[covered]
        parts[number] = fractions[..., k][covered].astype(np.float64)
    return Weights(indices, parts)
