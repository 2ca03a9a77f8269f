"""DICOM export: maps, labels and region tables as objects of the study that they were made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.cohort.dicom_export.inputs import Input, Stated, read_input
from qsmengine.cohort.dicom_export.plausible import check_range
from qsmengine.cohort.dicom_export.regions import read_regions
from qsmengine.errors import InputError, UsageError, naming
from qsmengine.io.atomic import write_atomic, write_together
from qsmengine.io.dicom_objects.measurements import measurement_report
from qsmengine.io.dicom_objects.mr import mr_images
from qsmengine.io.dicom_objects.parametric_map import parametric_map
from qsmengine.io.dicom_objects.planes import Planes, image_planes
from qsmengine.io.dicom_objects.quantity import Quantity, check_finite
from qsmengine.io.dicom_objects.segmentation import segmentation
from qsmengine.io.dicom_objects.source import Stack, Study, read_study
from qsmengine.io.enhanced import elements_of
from qsmengine.io.nifti import read_image
from qsmengine.pipeline.outputs.staging import check_output, staged

FORMS = ("parametric-map", "mr", "both")
_HEADERS = ("headers cannot be taken over", "export the study again from the scanner or archive")


@dataclass(frozen=True)
class Exported:
    """Result of an export: files or folders of a series, relative to the output folder, and decisions."""

    objects: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass
class _Job:
    """Series made from one input."""

    source: Input
    ending: str
    """`_pm.dcm`, `_seg.dcm` or `_sr.dcm`; `_mr` is a folder of slices."""
    files: list[bytes] = field(default_factory=list)

    @property
    def place(self) -> Path:
        return Path(self.source.stem + self.ending)

    @property
    def names(self) -> list[Path]:
        if self.ending != "_mr":
            return [self.place]
        return [self.place / f"{number:04d}.dcm" for number in range(1, len(self.files) + 1)]


def export_dicom(
    maps: Sequence[str | Path],
    source: str | Path,
    out: str | Path,
    *,
    form: str = "both",
    quantity: str | None = None,
    unit: str | None = None,
    lut: str | None = None,
    bits: int = 16,
    force: bool = False,
) -> Exported:
    """Write maps, label images and region tables as DICOM objects of the study in `source`.

    A map becomes a Parametric Map with its float32 values, a series of classic MR images with whole numbers
    (ppb for ppm), or both; a ``dseg`` or ``mask`` a Segmentation; a region table (.tsv) a structured report of
    template TID 1500. Patient, study and frame of reference come from `source` alone. The same export gives the
    same files.

    Parameters
    ----------
    maps
        Images (x, y, z) and region tables.
    source
        Folder with the DICOM files of the study, at any depth.
    out
        Output folder.
    form
        "parametric-map", "mr", or "both".
    quantity, unit
        Quantity (name of a map such as "chi", or CODE:SCHEME:MEANING) and unit of a single map, if file name
        and sidecar do not state them.
    lut
        Label table of label images: built-in name or file; default: the ``.tsv`` next to each.
    bits
        16: signed numbers; 12: 0 to 4095, for receivers that accept no others.
    force
        Replace an earlier export.

    Raises
    ------
    InputError
        If a map has no known quantity or unit, values that the quantity cannot have in it, several volumes,
        sheared voxels or no overlap with the source, or the source holds several studies; nothing is written.
    UsageError
        If outputs exist, two inputs have one name, or an option does not fit the inputs.
    DeviceError
        If the extra ``qsmengine[dicom]`` is not installed.
    """
    paths, folder, target = [Path(path) for path in maps], Path(source), Path(out)
    _check_options(paths, form, bits, quantity or unit, folder, target)
    stated = Stated(quantity, unit, lut)
    inputs = [read_input(path, stated) for path in paths]
    study = read_study(folder)
    notes = list(study.notes)
    jobs = _jobs(inputs, form)
    series = 0
    for one in inputs:
        own = [job for job in jobs if job.source is one]
        with naming(one.path):
            _make(one, own, study, series, bits, notes)
        series += len(own)
    names = [name for job in jobs for name in job.names]
    check_output(target, names, paths, force=force)
    with staged(target, obsolete=_obsolete(target, jobs)) as temporary:
        pairs = (pair for job in jobs for pair in zip(job.names, job.files, strict=True))
        write_together(partial(write_atomic, temporary / name, [content]) for name, content in pairs)
    return Exported(tuple(job.place for job in jobs), tuple(dict.fromkeys(notes)))


def _check_options(
    paths: Sequence[Path], form: str, bits: int, single: object, folder: Path, target: Path
) -> None:
    if form not in FORMS:
        raise UsageError(f"form {form!r}: must be one of {', '.join(FORMS)}")
    if bits not in {12, 16}:
        raise UsageError(f"--bits {bits}: must be 12 or 16")
    if single and len(paths) > 1:
        raise UsageError("--quantity and --unit describe a single map; export the maps one at a time")
    if target.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"output folder {target} lies inside the DICOM source {folder}; choose another")
    doubles = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
    if doubles:
        raise UsageError(f"two inputs are called {doubles[0]}; export them to different folders")


def _jobs(inputs: Sequence[Input], form: str) -> list[_Job]:
    """Return the series of every input, in the order of their numbers."""
    maps = {"parametric-map": ("_pm.dcm",), "mr": ("_mr",), "both": ("_pm.dcm", "_mr")}[form]
    endings = {"map": maps, "labels": ("_seg.dcm",), "table": ("_sr.dcm",)}
    return [_Job(one, ending) for one in inputs for ending in endings[one.kind]]


def _make(one: Input, jobs: Sequence[_Job], study: Study, series: int, bits: int, notes: list[str]) -> None:
    """Make the objects of an input's series, the first of which has the index `series`."""
    if one.kind == "table":
        regions = read_regions(one.path, notes)
        with elements_of(study.folder, *_HEADERS):
            headers = study.stacks[0].headers()
            jobs[0].files = measurement_report(regions, one.title, headers, series)
        return
    array, grid, header = read_image(one.path, dtype=np.int32 if one.kind == "labels" else np.float32)
    notes += [f"{one.path}: {note}" for note in header.notes]
    if one.kind == "map":
        array = check_finite(array, notes, one.path)
        check_range(one.quantity, one.unit, array)
    stack, matched = study.reference(grid, np.argwhere(array).astype(np.float64))
    notes.append(f"{one.path}: {'on the grid' if matched else 'in the frame of reference'} of {stack.title}")
    planes = image_planes(grid, stack.grid.axes)
    frames = planes.frames(array)
    with elements_of(study.folder, *_HEADERS):
        if one.kind == "labels":
            jobs[0].files = _segmentation(one, frames, planes, stack, series, notes)
            return
        headers = stack.headers()
        quantity = Quantity(frames, planes, one.quantity, one.unit, one.title, one.window, one.face)
        for index, job in enumerate(jobs, start=series):
            if job.ending == "_pm.dcm":
                job.files = parametric_map(quantity, headers, index)
            else:
                job.files = mr_images(quantity, headers, index, bits, matched=matched)


def _segmentation(
    one: Input, frames: Any, planes: Planes, stack: Stack, series: int, notes: list[str]
) -> list[bytes]:
    """Return the Segmentation of the labels that an image contains; those without a name are noted."""
    if not frames.any():
        raise InputError("is empty: no voxel differs from 0")
    if one.binary:
        frames = (frames != 0).astype(np.int32)
    present = set(np.unique(frames).tolist()) - {0}
    unnamed = sorted(present - {segment.value for segment in one.segments})
    if unnamed:
        count = int(np.isin(frames, unnamed).sum())
        notes.append(f"{one.path}: {count} voxels left out: their labels {unnamed} are not in the label table")
    segments = [segment for segment in one.segments if segment.value in present]
    if not segments:
        raise InputError("contains none of the labels of its table")
    return segmentation(frames, planes, segments, one.title, one.algorithm, stack.headers(), series)


def _obsolete(target: Path, jobs: Sequence[_Job]) -> tuple[Path, ...]:
    """Return the slices of an earlier, longer series of the same name."""
    names = {name for job in jobs for name in job.names}
    folders = [job.place for job in jobs if job.ending == "_mr"]
    found = (path.relative_to(target) for folder in folders for path in (target / folder).glob("*.dcm"))
    return tuple(sorted(set(found) - names))
