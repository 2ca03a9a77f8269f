"""Anatomy of a T1-weighted image in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, on_device, to_numpy
from qsmengine.data import Array, Map
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.modalities.t1w.series import IMAGE
from qsmengine.modalities.t1w.stages import plan_anatomy
from qsmengine.ops.gaussian import gaussian_filter
from qsmengine.ops.transforms import Volume
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.execute import check_shape, checked_mask, run_plan
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import Progress, ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record
from qsmengine.stages.anatomy.head_size import HeadSize, centres_of, head_size
from qsmengine.stages.anatomy.network import CLASSES
from qsmengine.stages.anatomy.refinement import Tissues
from qsmengine.stages.anatomy.screening import Screening, screen
from qsmengine.stages.anatomy.segmentation import segment
from qsmengine.stages.anatomy.structures import (
    Segmentation,
    StructureVolume,
    check_found,
    place,
    sides,
)

SURROUNDINGS = 6.0
"""Standard deviation [mm] of the mean of white matter that fills lesions."""
WHITE = tuple(CLASSES.index(name) for name in ("white_matter", "cerebellar_white_matter"))
GREY_TO_WHITE = (0.5, 4.0)
"""Ratios of the volumes of grey and white matter; adults have 1 to 2."""
STEM = CLASSES.index("brain_stem")


class BrainVolumes(NamedTuple):
    """Volumes [mm^3]: grey and white matter, fluid in the mask, their sums, and lesions (None: not given).

    `size` is the size of the head; None if its pose is unknown. `screening` are the candidates for lesions in a
    FLAIR image; None without one. `filled` is what was filled before tissues were classified: the given
    "lesions", the candidates of the "screening", or nothing.
    """

    gm: float
    wm: float
    csf: float
    brain: float
    mask: float
    lesions: float | None
    size: HeadSize | None = None
    screening: Screening | None = None
    filled: Literal["", "lesions", "screening"] = ""

    def normalised(self, volume: float) -> float | None:
        """Return a volume of this head scaled to the size of the template's head; None without a size."""
        return None if self.size is None else volume * self.size.scaling


@record
class AnatomyMaps(RunResult):
    """Maps ``gm``, ``wm``, ``csf``, ``corrected``, ``dgm``, ``brain_mask`` and ``screening``, and volumes.

    `refused` says why a FLAIR image was not screened; "" if it was, or there is none.
    """

    structures: tuple[StructureVolume, ...] = ()
    volumes: BrainVolumes = field(default=BrainVolumes(0, 0, 0, 0, 0, None))
    refused: str = ""


@on_device
def run_anatomy(
    image: Map,
    config: Config,
    device: Device,
    *,
    mask: Array | None = None,
    lesions: Array | None = None,
    flair: Volume | None = None,
    fill_screened: bool = False,
    strict: bool = True,
    plan: Plan | None = None,
    progress: ProgressCallback | None = None,
) -> AnatomyMaps:
    """Segment brain, deep grey matter and tissues of a T1-weighted image.

    Parameters
    ----------
    image
        T1-weighted image (x, y, z), any unit.
    config
        Methods and parameters.
    device
        Compute device.
    mask
        (x, y, z) brain mask; None: the closing of the classes of the network.
    lesions
        (x, y, z) lesions of white matter; they are filled with the intensity of the white matter around them
        and count as white matter.
    flair
        (x, y, z) FLAIR image on the same grid, in which lesions are searched.
    fill_screened
        Take the lesions found in `flair` for `lesions` if these are None.
    strict
        Raise InputError for a FLAIR image that cannot be screened; if False, the result says why.
    plan
        Plan from :func:`qsmengine.modalities.t1w.stages.plan_anatomy`; made here when None.
    progress
        Called before and after each step.

    Raises
    ------
    InputError
        For an image without a brain or without three tissues, one in which no structure is found or grey and
        white matter have volumes of no brain, and masks that do not fit.
    DeviceError
        If the memory does not suffice.
    """
    grid, array = image.grid, np.ascontiguousarray(to_numpy(image.array), dtype=np.float32)
    if fill_screened and flair is None:
        raise UsageError("filling the lesions of a screening needs a FLAIR image")
    plan = plan or plan_anatomy(config, grid, 1)
    check_memory(plan, device)
    if progress is not None:
        progress(Progress("brain and deep grey matter", 1, 1 + len(plan.steps)))
    found = segment(array, grid, device)
    inside = found.brain if mask is None else to_numpy(checked_mask(mask, grid))
    screening, refused = _screened(flair, grid, found, device, strict=strict)
    marked, origin = _marked(lesions, screening if fill_screened else None, grid)
    filled = array if marked is None or not marked.any() else _filled(array, marked, found, grid, device)
    state = {IMAGE: device.asarray(filled), "brain_mask": device.asarray(inside, bool)}
    result = run_plan(plan, state, grid, device, progress, kind=AnatomyMaps)
    apart = sides(found)
    size = head_size(array, grid, found.brain, centres_of(found, apart))
    tissues = Tissues(*(to_numpy(result[name]) for name in ("corrected", "gm", "wm", "csf")))
    placed = place(apart, found, grid, tissues, None if size is None else size.scaling)
    check_found(placed.volumes)
    labels = np.where(inside, placed.labels, 0).astype(np.int16)
    maps = _overridden(result.maps, labels, found, grid, marked, device)
    if origin == "screening" and marked is not None:
        maps["corrected"] = _unfilled(maps["corrected"], array, filled, device)
    maps["dgm"] = device.asarray(labels, np.int16)
    notes = [*result.notes, *_structure_notes(placed.volumes), *_size_notes(size)]
    units = {**result.units, "dgm": "1"}
    if screening is not None:
        maps["screening"], units["screening"] = device.asarray(screening.mask, bool), "1"
        notes.append(_screening_note(screening, filled=origin == "screening"))
    volumes = _volumes(maps, None if lesions is None else marked, grid)
    _check_tissues(volumes)
    return replace(
        result, maps=maps, units=units, notes=tuple(notes), structures=placed.volumes,
        volumes=volumes._replace(size=size, screening=screening, filled=origin), refused=refused,
    )  # fmt: skip


def _screened(
    flair: Volume | None, grid: Grid, found: Segmentation, device: Device, *, strict: bool
) -> tuple[Screening | None, str]:
    """Return the candidates for lesions, and why the image cannot be screened."""
    if flair is None:
        return None, ""
    try:
        return screen(flair, grid, found, device), ""
    except InputError as error:
        if strict:
            raise
        return None, error.message


def _marked(
    lesions: Array | None, screening: Screening | None, grid: Grid
) -> tuple[npt.NDArray[np.bool_] | None, Literal["", "lesions", "screening"]]:
    """Return the voxels (x, y, z) to fill, and where they come from."""
    if lesions is not None:
        check_shape("lesions", lesions, grid)
        return to_numpy(lesions) != 0, "lesions"
    if screening is not None:
        return screening.mask, "screening"
    return None, ""


def _unfilled(corrected: Array, image: Volume, filled: Volume, device: Device) -> Array:
    """Return the corrected image (x, y, z) with the intensities that were there before filling."""
    ratio = np.divide(image, filled, out=np.ones_like(filled), where=(filled != image) & (filled > 0))
    return corrected * device.asarray(ratio)


def _filled(
    image: Volume, lesions: npt.NDArray[np.bool_], found: Segmentation, grid: Grid, device: Device
) -> Volume:
    """Return `image` with lesions replaced by the mean of the white matter around them."""
    white = (found.fraction(WHITE, grid) > 0.5) & ~lesions
    if not white.any():
        raise InputError("no white matter was found around the lesions", field="lesions")
    weight = device.asarray(white.astype(np.float32))
    size = grid.voxel_size
    total = to_numpy(gaussian_filter(weight * device.asarray(image), size, SURROUNDINGS, device))
    share = to_numpy(gaussian_filter(weight, size, SURROUNDINGS, device))
    mean = np.where(share > 1e-3, total / np.maximum(share, np.float32(1e-3)), image[white].mean())
    return np.where(lesions, mean, image).astype(np.float32)


def _overridden(
    maps: Mapping[str, Array],
    labels: npt.NDArray[np.int16],
    found: Segmentation,
    grid: Grid,
    lesions: npt.NDArray[np.bool_] | None,
    device: Device,
) -> dict[str, Array]:
    """Return the maps in which deep grey matter is grey, and brain stem and lesions are white."""
    xp, changed = device.xp, dict(maps)
    inside = maps["brain_mask"]
    stem = found.fraction((STEM,), grid) > 0.5
    grey = device.asarray((labels > 0) & ~stem, bool) & inside
    white = device.asarray(stem if lesions is None else stem | lesions, bool) & inside
    solid = 1 - maps["csf"]
    none = np.float32(0)
    changed["gm"] = xp.where(grey, solid, xp.where(white, none, maps["gm"]))
    changed["wm"] = xp.where(white, solid, xp.where(grey, none, maps["wm"]))
    return changed


def _volumes(maps: Mapping[str, Array], lesions: npt.NDArray[np.bool_] | None, grid: Grid) -> BrainVolumes:
    gm, wm, csf = (float(maps[n].sum(dtype=np.float64)) * grid.voxel_volume for n in ("gm", "wm", "csf"))
    load = None if lesions is None else float(lesions.sum()) * grid.voxel_volume
    return BrainVolumes(gm, wm, csf, gm + wm, gm + wm + csf, load)


def _check_tissues(volumes: BrainVolumes) -> None:
    """Raise InputError for volumes of grey and white matter whose ratio no brain has."""
    low, high = GREY_TO_WHITE
    if not low * volumes.wm <= volumes.gm <= high * volumes.wm:
        raise InputError(
            f"grey matter has {volumes.gm / 1000:.0f} mL and white matter {volumes.wm / 1000:.0f} mL, a ratio "
            f"that no brain has ({low:g} to {high:g}); is the image T1-weighted, and does a given mask fit?",
            field="t1w",
        )


def _screening_note(screening: Screening, *, filled: bool) -> str:
    what = "; white matter for the tissue fractions" if filled and screening.number else ""
    return (
        f"lesions: {screening.number} candidates in the FLAIR image, {screening.load:.2f} mL; screening only, "
        f"look at each{what}"
    )


def _size_notes(size: HeadSize | None) -> list[str]:
    """Return a note if the size of the head is unknown or does not come from the skull."""
    if size is None:
        return ["size of the head: unknown, too few structures were found; volumes are not normalised"]
    if size.origin == "skull":
        return []
    note = (
        f"size of the head: from the brain mask, since only {100 * size.seen:.0f} % of the directions show the "
        "outer skull; normalised volumes underestimate atrophy and do not compare with those of other images"
    )
    return [note]


def _structure_notes(structures: tuple[StructureVolume, ...]) -> list[str]:
    """Return a note for every structure that is not reliable or unusual."""
    notes = []
    for s in structures:
        if s.hemisphere == "left" and s.problems:
            notes.append(f"{s.name}: not reliable ({'; '.join(s.problems)})")
        elif s.hemisphere == "left" and s.remarks:
            notes.append(f"{s.name}: unusual, look at the label ({'; '.join(s.remarks)})")
    return notes
