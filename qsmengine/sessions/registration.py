"""Registration of two images, file to file: transforms, check, and images and labels on the fixed grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.api.registration import refusal
from qsmengine.data import Array
from qsmengine.errors import InputError, OutOfMemoryError, UsageError
from qsmengine.grid import Grid
from qsmengine.io.atomic import write_json, write_text
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.transforms import write_displacement, write_matrix
from qsmengine.ops.alignment import Alignment, Limits, align
from qsmengine.ops.registration import AnyKind
from qsmengine.ops.transforms import Volume, bring, covered, label_fractions, most_of
from qsmengine.pipeline.outputs.provenance import software
from qsmengine.pipeline.outputs.staging import check_output, staged

MATRIX = Path("from-moving_to-fixed_xfm.txt")
WARP = Path("from-moving_to-fixed_warp.nii.gz")
INVERSE_WARP = Path("from-fixed_to-moving_warp.nii.gz")
CHECK = Path("registration.json")
PANEL = Path("registration.png")
MOST_BYTES = 4 << 30
"""Most memory for the fractions of one label image [bytes]."""


class Shown(NamedTuple):
    """Images of a panel, all on the fixed image's grid: `fixed`, `moved`, and the `title`."""

    fixed: Volume
    moved: Volume
    grid: Grid
    title: str


Draw = Callable[[Path, Shown], None]


@dataclass(frozen=True)
class RegistrationRequest:
    """Files and parameters of a registration.

    Parameters
    ----------
    moving, fixed
        Images (x, y, z).
    out
        Output folder.
    kind
        "rigid", "affine" or "syn".
    apply, labels
        Further images and label images in the space of `moving`.
    limits
        Limits of the check.
    accept_poor
        Write the results of an alignment that misses a limit.
    force
        Replace earlier outputs.
    """

    moving: Path
    fixed: Path
    out: Path
    kind: AnyKind = "rigid"
    apply: tuple[Path, ...] = ()
    labels: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    accept_poor: bool = False
    force: bool = False


@dataclass(frozen=True)
class RegistrationOutcome:
    """Files written, notes, and the alignment."""

    files: Sequence[Path]
    notes: Sequence[str]
    alignment: Alignment


@dataclass(frozen=True)
class _Labels:
    """Label image to be resampled, with its labels."""

    array: npt.NDArray[np.int32]
    grid: Grid
    numbers: tuple[int, ...]


def run_registration(request: RegistrationRequest, draw: Draw | None = None) -> RegistrationOutcome:
    """Register two images, check the result, and bring images and labels to the fixed grid.

    Either all outputs are written or none. Images are interpolated by cubic splines; of each label image, the
    label that covers most of a voxel and the fraction of every label are written.

    Parameters
    ----------
    request
        Files and parameters.
    draw
        Draws the panel; None: no panel.

    Raises
    ------
    UsageError
        If outputs exist (without force), would overwrite inputs, or have the same name.
    InputError
        If an image cannot be used, or the alignment misses a limit.
    DeviceError
        If the registration library is missing.
    """
    names = output_names(request, panel=draw is not None)
    sources = [request.moving, request.fixed, *request.apply, *request.labels]
    check_output(request.out, names, sources, force=request.force)
    notes: list[str] = []
    fixed, fixed_grid = _read(request.fixed, notes)
    moving, moving_grid = _read(request.moving, notes)
    images = [_read(path, notes) for path in request.apply]
    labels = [_read_labels(path, fixed_grid, notes) for path in request.labels]
    found = _aligned(request, fixed, fixed_grid, moving, moving_grid)
    if found.problems and not request.accept_poor:
        raise InputError(
            f"{refusal(found)}; --accept-poor writes the result nevertheless", source=request.moving
        )
    notes += [f"poor alignment: {problem}" for problem in found.problems]
    seen = covered(moving_grid, fixed_grid, found.transform)
    if not seen.all():
        notes.append(f"{100 * (1 - seen.mean()):.0f} % of the fixed image lie outside the moving one and are 0")
    with staged(request.out) as folder:
        moved = bring(moving, moving_grid, fixed_grid, found.transform, order=3)
        write_image(folder / _moved_name(request.moving), moved, fixed_grid)
        for path, (image, grid) in zip(request.apply, images, strict=True):
            brought = bring(image, grid, fixed_grid, found.transform, order=3)
            write_image(folder / _moved_name(path), brought, fixed_grid)
        for path, each in zip(request.labels, labels, strict=True):
            _write_labels(folder, path, each, fixed_grid, found)
        _write_transform(folder, found)
        facts = check_facts(found, request.moving.name, request.fixed.name, request.limits)
        write_json(folder / CHECK, facts)
        if draw is not None:
            draw(folder / PANEL, Shown(fixed, moved, fixed_grid, _title(request, found)))
    return RegistrationOutcome([request.out / name for name in names], notes, found)


def output_names(request: RegistrationRequest, *, panel: bool) -> list[Path]:
    """Return every output, relative to the output folder; raises UsageError if two have the same name."""
    names = [_moved_name(path) for path in (request.moving, *request.apply)]
    for path in request.labels:
        names += _label_names(path)
    names += [MATRIX, *((WARP, INVERSE_WARP) if request.kind == "syn" else ()), CHECK]
    names += [PANEL] if panel else []
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two inputs would be written as {twice}; rename one of them")
    return names


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".mgz").removesuffix(".img")


def _moved_name(path: Path) -> Path:
    return Path(f"{_stem(path)}_space-fixed.nii.gz")


def _label_names(path: Path) -> list[Path]:
    return [
        Path(f"{_stem(path)}_space-fixed_{ending}")
        for ending in ("dseg.nii.gz", "probseg.nii.gz", "probseg.tsv")
    ]


def _read(path: Path, notes: list[str]) -> tuple[Volume, Grid]:
    image = read_image(path)
    if image.array.ndim != 3:
        raise InputError(f"has {image.array.ndim} dimensions; one volume is needed", source=path, field="dim")
    notes.extend(f"{path.name}: {note}" for note in image.header.notes)
    if not np.isfinite(image.array).all():
        raise InputError("contains values that are not finite", source=path)
    return np.ascontiguousarray(image.array), image.grid


def _read_labels(path: Path, target: Grid, notes: list[str]) -> _Labels:
    image = read_image(path, dtype=np.int32)
    if image.array.ndim != 3:
        raise InputError(f"has {image.array.ndim} dimensions; one volume is needed", source=path, field="dim")
    notes.extend(f"{path.name}: {note}" for note in image.header.notes)
    numbers = tuple(int(number) for number in np.unique(image.array) if number > 0)
    if not numbers:
        raise InputError("contains no label above 0", source=path)
    needed = 4 * target.size * (len(numbers) + 1)
    if needed > MOST_BYTES:
        raise OutOfMemoryError(
            f"{path}: fractions of {len(numbers)} labels on the fixed grid need {needed >> 20} MiB, more than "
            f"{MOST_BYTES >> 20}; select fewer labels or a coarser fixed image"
        )
    return _Labels(np.ascontiguousarray(image.array), image.grid, numbers)


def _aligned(
    request: RegistrationRequest, fixed: Array, fixed_grid: Grid, moving: Array, moving_grid: Grid
) -> Alignment:
    try:
        return align(fixed, fixed_grid, moving, moving_grid, request.kind, limits=request.limits)
    except InputError as error:
        files = {"fixed image": request.fixed, "moving image": request.moving}
        source = files.get(str(error.source), request.moving)
        raise error.at(source) from error


def _write_labels(folder: Path, path: Path, labels: _Labels, target: Grid, found: Alignment) -> None:
    """Write the label of the largest fraction, the fractions (x, y, z, label), and the order of the labels."""
    fractions = label_fractions(labels.array, labels.grid, target, found.transform, labels.numbers)
    dseg, probseg, table = (folder / name for name in _label_names(path))
    write_image(dseg, most_of(fractions, labels.numbers), target)
    write_image(probseg, fractions, target)
    volume = target.voxel_volume
    rows = [
        f"{place}\t{number}\t{float(fractions[..., place].sum(dtype=np.float64)) * volume:.3f}"
        for place, number in enumerate(labels.numbers)
    ]
    write_text(table, "\n".join(["volume\tindex\tvolume_mm3", *rows]) + "\n")


def _write_transform(folder: Path, found: Alignment) -> None:
    write_matrix(folder / MATRIX, found.transform.matrix)
    for name, warp in ((WARP, found.transform.warp), (INVERSE_WARP, found.transform.inverse_warp)):
        if warp is not None:
            write_displacement(folder / name, warp.field, warp.grid)


def check_facts(found: Alignment, moving: str, fixed: str, limits: Limits) -> dict[str, Any]:
    """Return the figures of the check and the matrix of an alignment of two files, for JSON."""
    return {
        "Description": "transform from points of the fixed image to points of the moving image",
        "Moving": moving,
        "Fixed": fixed,
        "Kind": found.kind,
        "MatrixRAS": found.transform.matrix.tolist(),
        "NormalizedMutualInformation": found.agreement.information,
        "HeadOverlap": found.agreement.overlap,
        "EdgeAgreement": found.agreement.edges,
        "InformationOverMirrorImage": found.mirror,
        "Limits": limits._asdict(),
        "Problems": list(found.problems),
        "Software": software(),
    }


def _title(request: RegistrationRequest, found: Alignment) -> str:
    said = found.agreement
    check = "poor alignment" if found.problems else "checked"
    return (
        f"{request.moving.name} on {request.fixed.name}: {check}\n"
        f"information {said.information:.3f}, overlap {said.overlap:.2f}, edges {said.edges:.2f}"
        + ("" if found.mirror is None else f", {found.mirror:.2f} x mirror image")
    )
