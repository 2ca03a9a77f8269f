"""Transmit field of a session: its images in ``fmap/``, and B1 on the grid of a series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.b1 import B1File, B1Map, open_b1, read_b1_map
from qsmengine.io.bids import BidsName
from qsmengine.io.inheritance import Folders
from qsmengine.io.nifti import read_image
from qsmengine.io.sidecars import read_sidecar
from qsmengine.modalities.modality import Opened, Opening
from qsmengine.modalities.session import OpenSeries
from qsmengine.ops.transforms import Transform, bring
from qsmengine.pipeline.configuration.model import Config
from qsmengine.stages.relaxometry.transmit_field import AfiParams, DoubleAngleParams, afi, double_angle

B1 = "b1"
"""Role of a B1 map, or of the two images of a B1 mapping."""
DIFFERING: Mapping[str, tuple[str, ...]] = {"TB1map": (), "TB1AFI": ("acq",), "TB1DAM": ("flip",)}
"""Suffix -> entities in which the images of one B1 mapping differ, the preferred suffix first."""
BACKGROUND = 0.1
"""Signal, relative to the 98th percentile, below which the images of a B1 mapping show air."""
REMEDY = "input.resample_b1=true interpolates it in scanner coordinates"


class Found(NamedTuple):
    """Files of a session's transmit field, notes, and problems that keep it from being used."""

    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def find_b1(image: Path, grid: Grid, config: Config, folders: Folders) -> Found:
    """Return the B1 map, or the images of a B1 mapping, in ``fmap/`` of the session of `image`.

    A map is preferred to images. Images of the session that name other series in ``IntendedFor`` are left out.
    """
    found = images_for(image, DIFFERING, folders)
    if not found:
        return Found()
    if len(found) > 1:
        names = ", ".join(str(files[0]) for files in found)
        return Found(problems=(f"B1: {names}: keep one, or name this series in the IntendedFor of one",))
    try:
        file = open_b1(found[0], folders)
        _check_grid(file, grid, config)
    except InputError as error:
        return Found(problems=(str(error),))
    files = tuple(one.path for one in file.files)
    return Found(files, (f"B1: {', '.join(map(str, files))}",))


def with_b1(file: OpenSeries, image: Path, opening: Opening, *, required: bool) -> Opened:
    """Return the description of an opened series with the transmit field of its session as an input.

    A field that cannot be used is a problem of a modality whose maps it decides (`required`), else a note.
    """
    found = find_b1(image, file.grid, opening.config, opening.folders)
    inputs = {B1: found.files} if found.files else {}
    unused = () if required else tuple(f"{problem}; B1 is not used" for problem in found.problems)
    problems = found.problems if required else ()
    return Opened(file.grid, file.n_volumes, inputs, (*file.notes, *found.notes, *unused), problems)


def images_for(
    image: Path, differing: Mapping[str, tuple[str, ...]], folders: Folders
) -> list[tuple[Path, ...]]:
    """Return the sets of files in ``fmap/`` of the session of `image` that may apply to it.

    `differing` lists suffixes, the preferred one first, with the entities in which the images of a set differ.
    Images that name other series in ``IntendedFor`` are left out.
    """
    place = image.parent.parent / "fmap"
    paths = sorted([*place.glob("*.nii"), *place.glob("*.nii.gz")]) if place.is_dir() else []
    own = _session(image)
    for suffix, own_entities in differing.items():
        sets: dict[frozenset[tuple[str, str]], list[Path]] = {}
        for path, name in _named(paths):
            if name.suffix == suffix and own is not None and _session(path) == own:
                key = frozenset(item for item in name.entities.items() if item[0] not in own_entities)
                sets.setdefault(key, []).append(path)
        chosen = [tuple(files) for files in sets.values() if _intended(files[0], image, folders)]
        if chosen:
            return chosen
    return []


def _named(paths: Iterable[Path]) -> Iterable[tuple[Path, BidsName]]:
    for path in paths:
        try:
            yield path, BidsName.parse(path)
        except InputError:
            continue


def _session(path: Path) -> tuple[str, str | None] | None:
    """Return subject and session of a BIDS name; None for other names."""
    for _, name in _named([path]):
        if "sub" in name.entities:
            return name.entities["sub"], name.entities.get("ses")
    return None


def _intended(path: Path, image: Path, folders: Folders) -> bool:
    """Return whether the sidecar of `path` names `image`, or no series, in ``IntendedFor``."""
    wanted = read_sidecar(path, folders).values.get("IntendedFor")
    if not wanted:
        return True
    listed = wanted if isinstance(wanted, list) else [wanted]
    return any(str(one).endswith(f"/{image.name}") or str(one) == image.name for one in listed)


def _check_grid(file: B1File, grid: Grid, config: Config) -> None:
    """Raise InputError for B1 on another grid than `grid`, unless the configuration allows resampling."""
    if config.input.resample_b1:
        return
    try:
        check_same_grid(file.grid, grid, file.files[0].path, "the images")
    except InputError as error:
        raise InputError(f"{error.message}, or {REMEDY}", source=error.source, field=error.field) from error


def load_b1(
    paths: Sequence[Path], grid: Grid, config: Config, device: Device, part: tuple[slice, ...] | None = None
) -> B1Map:
    """Return B1 on `grid` as a ratio (x, y, z) to the nominal flip angle, 0 where it is unknown, and notes.

    Parameters
    ----------
    paths
        B1 map, or two images of actual flip-angle imaging or of the double-angle method.
    grid
        Geometry of the series.
    config
        With ``input.resample_b1``, B1 on another grid is interpolated linearly in scanner coordinates.
    device
        Compute device.
    part
        Part of `grid` that is enough, and may be all that is read; None: all of it.

    Raises
    ------
    InputError
        For B1 on another grid, values that are neither ratios nor percent, and images that do not belong
        together.
    """
    file = open_b1(paths)
    _check_grid(file, grid, config)
    here = file.grid.matches(grid)
    found = read_b1_map(file, part if here else None) if file.kind == "map" else _mapped(file, device)
    if here:
        return found
    ratio, notes = found.ratio, found.notes
    known = (ratio > 0).astype(np.float32)
    unmoved = Transform(np.eye(4))
    share = bring(known, file.grid, grid, unmoved)
    placed = bring(ratio, file.grid, grid, unmoved)
    moved: Array = np.divide(placed, share, out=np.zeros_like(placed), where=share >= 0.5)
    notes.append(f"{file.files[0].path}: B1 interpolated to the grid of the images in scanner coordinates")
    return B1Map(moved, notes)


def _mapped(file: B1File, device: Device) -> B1Map:
    """Return B1 (x, y, z) from the two images of a B1 mapping, 0 in air, and a note."""
    first, second = (
        np.nan_to_num(read_image(one.path).array.reshape(file.grid.shape), nan=0.0, posinf=0.0, neginf=0.0)
        for one in file.files
    )
    if not first.any():
        raise InputError("every value is 0: no signal", source=file.files[0].path)
    inside = first > BACKGROUND * np.percentile(first, 98)
    images = (device.asarray(first), device.asarray(second), device.asarray(inside, bool))
    if file.kind == "afi":
        afi_params = AfiParams(ratio=file.ratio, flip_angle=file.flip_angle)
        b1 = afi(*images, file.grid, afi_params, device=device)
        method = f"actual flip-angle imaging ({file.flip_angle:g} degrees, ratio {file.ratio:.3g})"
    else:
        params = DoubleAngleParams(flip_angle=file.flip_angle)
        b1 = double_angle(*images, file.grid, params, device=device)
        method = f"double angle ({file.flip_angle:g} and {2 * file.flip_angle:g} degrees)"
    return B1Map(to_numpy(b1), [f"B1 by {method}: {', '.join(str(one.path) for one in file.files)}"])
