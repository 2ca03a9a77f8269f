"""Nuclei of atlases on the grid of a susceptibility map: warp, check, files, and weights for means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.atomic import write_json, write_text
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.transforms import read_matrix, write_displacement, write_matrix
from qsmengine.modalities.atlases import TEMPLATE, AtlasNames
from qsmengine.modalities.derived import ATLAS
from qsmengine.ops.registration import find_warp
from qsmengine.ops.transforms import Transform, boxed_fractions, most_of
from qsmengine.pipeline.outputs.maps import sidecar_of
from qsmengine.pipeline.outputs.provenance import describe_input, software
from qsmengine.records import record
from qsmengine.sessions.placement import Weights, as_weights
from qsmengine.stages.anatomy.atlas import (
    SHARED,
    SIDES,
    Find,
    Head,
    PlacedAtlas,
    Template,
    nuclei,
    place_atlas,
    side_of,
)

DOI = "10.1016/j.media.2007.06.004"
AGREEMENT_COLUMNS = {
    "structure": {"Description": "Structure that the network and the atlas have"},
    "hemisphere": {"Description": "Side of the body"},
    "dice": {"Description": "Dice overlap of the structure in network and atlas", "Units": "1"},
    "least": {"Description": "Overlap below which the nuclei of the side are not reliable", "Units": "1"},
    "reliable": {
        "Description": "Whether the overlap is sufficient",
        "Levels": {"1": "sufficient", "0": "too small"},
    },
}


@record
class AtlasRequest:
    """Files of a head and of the atlases.

    Parameters
    ----------
    chi
        Susceptibility map [ppm].
    image, structures
        Brain of the T1-weighted image, and the network's labels on its grid.
    matrix
        Transform from the map's image to the T1-weighted image, as a text file of ITK.
    template
        T1-weighted image of the template.
    atlases, tables
        Name -> labels on the grid of `template`, and the table that names them.
    wanted
        Names of the atlases to be written.
    notes
        Decisions of the plan.
    """

    chi: Path
    image: Path
    structures: Path
    matrix: Path
    template: Path
    atlases: Mapping[str, Path]
    tables: Mapping[str, Path]
    wanted: tuple[str, ...]
    notes: tuple[str, ...] = ()


@record
class Nuclei:
    """Nuclei of an atlas on the grid of a map.

    Parameters
    ----------
    grid
        Grid of the map.
    weights
        Voxels of every label and the fractions that it covers.
    voxels, volumes
        Label -> number of voxels of which it covers most, and volume [mm^3].
    problems
        Label -> why it is not reliable; "" if it is.
    """

    grid: Grid
    weights: Weights
    voxels: Mapping[int, int]
    volumes: Mapping[int, float]
    problems: Mapping[int, str]

    def on(self, grid: Grid) -> Weights:
        """Return the weights; InputError if `grid` is not that of the susceptibility map."""
        check_same_grid(grid, self.grid, "map", "the susceptibility map")
        return self.weights


def bring_atlases(
    request: AtlasRequest, names: AtlasNames, folder: Path, *, find: Find = find_warp
) -> tuple[dict[str, Nuclei], list[str]]:
    """Warp the template to a head and write the files of `names`, except the region tables.

    Returns the nuclei of every atlas, and notes.

    Raises
    ------
    InputError
        If an image cannot be used, or the network has not found a structure.
    DeviceError
        If the registration library is missing.
    """
    head, template = _head(request), read_template(request.template, request.atlases)
    try:
        placed = place_atlas(head, template, find=find)
    except InputError as error:
        name = request.structures if str(error.source) == "deep grey matter" else request.chi
        raise error.at(name) from error
    for path in names:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    found = {
        atlas: _write_atlas(atlas, placed, head, template, request, names, folder) for atlas in request.wanted
    }
    _write_transform(placed.transform, names, folder)
    _write_agreement(placed, folder / names.agreement)
    notes = _notes(placed)
    write_json(folder / names.provenance, _provenance(request, placed, notes))
    return found, notes


def _head(request: AtlasRequest) -> Head:
    image, grid = read_image(request.image)[:2]
    structures = read_image(request.structures, dtype=np.int32).array
    chi, chi_grid = read_image(request.chi)[:2]
    return Head(
        image=np.ascontiguousarray(image),
        structures=structures,
        grid=grid,
        to_image=Transform(read_matrix(request.matrix)),
        chi=np.ascontiguousarray(chi),
        chi_grid=chi_grid,
    )


def read_template(path: Path, atlases: Mapping[str, Path]) -> Template:
    """Return the template with the atlases (name -> label image) cut to its grid."""
    image, grid = read_image(path)[:2]
    return Template(
        image=np.ascontiguousarray(image),
        grid=grid,
        atlases={name: _cut(labels, grid.affine, grid.shape) for name, labels in atlases.items()},
    )


def _cut(path: Path, affine: np.typing.NDArray[np.float64], shape: Sequence[int]) -> np.typing.NDArray[Any]:
    labels, whole = read_image(path, dtype=np.int32)[:2]
    first = np.rint(np.linalg.inv(whole.affine) @ affine[:, 3])[:3].astype(int)
    x, y, z = (slice(int(a), int(a) + n) for a, n in zip(first, shape, strict=True))
    return np.asarray(labels[x, y, z])


def _write_atlas(
    atlas: str,
    placed: PlacedAtlas,
    head: Head,
    template: Template,
    request: AtlasRequest,
    names: AtlasNames,
    folder: Path,
) -> Nuclei:
    """Write the labels of one atlas and their table; return them."""
    labels, grid = template.atlases[atlas], head.chi_grid
    numbers = nuclei(atlas, labels)
    part = boxed_fractions(labels, template.grid, grid, placed.transform, numbers)
    native = np.zeros(grid.shape, np.int16)
    native[part.box] = most_of(part.fractions, numbers)
    image = names.labels(atlas)
    write_image(folder / image, native, grid)
    write_json(
        folder / sidecar_of(image),
        {
            "Description": f"nuclei of the atlas {atlas}, warped to the head",
            "SpatialReference": f"bids::{(names.folder / request.chi.name).as_posix()}",
            "Sources": [request.image.name, request.structures.name, request.chi.name],
        },
    )
    write_text(folder / names.label_table(atlas), request.tables[atlas].read_text(encoding="utf-8"))
    volume = grid.voxel_volume
    return Nuclei(
        grid,
        as_weights(part, numbers, grid),
        {n: int((native == n).sum()) for n in numbers},
        {n: float(part.fractions[..., k].sum(dtype=float)) * volume for k, n in enumerate(numbers)},
        {n: placed.problem(side_of(atlas, n)) for n in numbers},
    )


def _write_transform(transform: Transform, names: AtlasNames, folder: Path) -> None:
    write_matrix(folder / names.matrix, transform.matrix)
    for path, warp in ((names.warp, transform.warp), (names.inverse_warp, transform.inverse_warp)):
        if warp is not None:
            write_displacement(folder / path, warp.field, warp.grid)


def _rows(placed: PlacedAtlas) -> list[dict[str, Any]]:
    limits = {one.name: one.least for one in SHARED}
    return [
        {
            "structure": name,
            "hemisphere": side,
            "dice": round(dice, 4),
            "least": limits[name],
            "reliable": int(dice >= limits[name]),
        }
        for (name, side), dice in placed.overlap.items()
    ]


def _write_agreement(placed: PlacedAtlas, path: Path) -> None:
    lines = ["\t".join(AGREEMENT_COLUMNS)]
    lines += ["\t".join(str(row[column]) for column in AGREEMENT_COLUMNS) for row in _rows(placed)]
    write_text(path, "\n".join(lines) + "\n")
    write_json(path.with_suffix(".json"), AGREEMENT_COLUMNS)


def _notes(placed: PlacedAtlas) -> list[str]:
    shown = ", ".join(
        f"{one.name} {placed.overlap[one.name, 'left']:.2f} and {placed.overlap[one.name, 'right']:.2f}"
        for one in SHARED
    )
    problems = [
        f"{side} nuclei: {placed.problem(side)}; not reliable" for side in SIDES if placed.problem(side)
    ]
    return [f"atlas: overlap with the network, left and right: {shown}", *problems]


def _provenance(request: AtlasRequest, placed: PlacedAtlas, notes: Sequence[str]) -> dict[str, Any]:
    parameters = {"template": TEMPLATE, **{name.replace("-", "_"): True for name in request.wanted}}
    files = [request.chi, request.image, request.structures, request.matrix]
    bundled = [request.template, *request.atlases.values()]
    return {
        "Software": software(),
        "Device": "cpu",
        "Steps": [{"Stage": ATLAS.step, "Method": "syn", "DOI": DOI, "Parameters": parameters}],
        "Check": _rows(placed),
        "Inputs": [describe_input(path) for path in (*files, *bundled)],
        "Notes": [*request.notes, *notes],
    }
