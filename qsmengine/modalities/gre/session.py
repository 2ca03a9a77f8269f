"""Gradient-echo session from files to files: load, plan, run, write."""

from __future__ import annotations

from dataclasses import field, replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from qsmengine.backend.device import Device, on_device, to_numpy
from qsmengine.data import Array, GreSeries
from qsmengine.errors import naming
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.given_maps import MISMATCHED, check_rates, check_stated_unit, check_values, unknown_rates
from qsmengine.io.gre import load_gre
from qsmengine.io.header import read_header
from qsmengine.io.masks import check_placement, load_mask
from qsmengine.io.mirrored_rates import check_mirrored_rates
from qsmengine.io.nifti import read_image
from qsmengine.modalities.gre.maps import chi_metadata
from qsmengine.modalities.gre.products import PRODUCTS
from qsmengine.modalities.gre.quality import MEASURES, GreEvidence, within
from qsmengine.modalities.gre.run import QsmResult, arrays_of, check_echoes, object_grid, reconstruct
from qsmengine.modalities.gre.sign_check import sign_notes
from qsmengine.modalities.gre.stages import plan_qsm
from qsmengine.modalities.modality import Task
from qsmengine.modalities.outputs import plan_outputs
from qsmengine.modalities.quality import evaluate, quality_files, quality_notes, quality_texts
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.maps import Described
from qsmengine.pipeline.outputs.naming import Naming
from qsmengine.pipeline.outputs.staging import Writing
from qsmengine.pipeline.run.frames import Maps
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record
from qsmengine.stages.object_size import size_notes

PASSING = ("unwrapped",)
"""Series of a run that no file or measure shows."""
BOXED = ("magnitude", "phase")
"""Series whose surroundings of the brain no file or measure shows."""
LEAST_VOXELS = 8
"""Number of voxels along an axis below which a note is added."""


@record
class QsmRequest:
    """Files of a gradient-echo session; see :func:`qsmengine.io.gre.load_gre` for the parts.

    Parameters
    ----------
    out
        Output folder.
    echo_times
        [s]; None: from the sidecars.
    field_strength
        [T]; None: from the sidecars.
    mask, labels, r2
        Images on the series' grid; R2 in [1/s].
    force
        Replace earlier outputs.
    name
        BIDS name from which output names are derived; None: that of the first image.
    writing
        Location of unfinished files, and whether provenance includes durations.
    """

    magnitude: tuple[Path, ...]
    phase: tuple[Path, ...]
    out: Path
    real: tuple[Path, ...] = ()
    imag: tuple[Path, ...] = ()
    echo_times: tuple[float, ...] | None = None
    field_strength: float | None = None
    mask: Path | None = None
    labels: Path | None = None
    r2: Path | None = None
    force: bool = False
    name: str | None = None
    writing: Writing = field(default_factory=Writing)

    @classmethod
    def of(cls, task: Task) -> QsmRequest:
        """Return the request of a cohort's task."""
        times = task.options.get("echo_times")
        return cls(
            magnitude=task.files.get("magnitude", ()),
            phase=task.files.get("phase", ()),
            real=task.files.get("real", ()),
            imag=task.files.get("imag", ()),
            out=task.out,
            echo_times=None if times is None else tuple(float(time) for time in times),
            field_strength=task.options.get("field_strength"),
            mask=task.one("mask"),
            labels=task.one("labels"),
            r2=task.one("r2"),
            force=task.force,
            name=task.name,
            writing=task.writing,
        )


def extent_notes(grid: Grid) -> list[str]:
    """Return a note if an image has few voxels along an axis, else none."""
    if min(grid.shape) >= LEAST_VOXELS:
        return []
    note = (
        f"{min(grid.shape)} voxels along one axis, fewer than {LEAST_VOXELS}: the fields of sources beyond the "
        "slab cannot be separated from local ones, and susceptibility is unreliable"
    )
    return [note]


def each_repetition(request: QsmRequest) -> list[tuple[QsmRequest, str]]:
    """Return a request for each repetition in the first file, with the number of the repetition.

    Outputs go into ``rep-1``, ``rep-2``, ... below the request's folder.
    """
    first = [*request.magnitude, *request.phase, *request.real, *request.imag][:1]
    shape = read_header(first[0])[0].shape if first else ()
    count = shape[3] if len(shape) > 3 else 1
    return [(replace(request, out=request.out / f"rep-{r}"), str(r)) for r in range(1, count + 1)]


@on_device
def run_qsm_session(
    request: QsmRequest,
    config: Config,
    device: Device,
    *,
    dry_run: bool = False,
    progress: ProgressCallback | None = None,
) -> Outcome:
    """Reconstruct a gradient-echo session from files to BIDS derivatives.

    Raises
    ------
    UsageError
        Before any computation, if outputs exist (without force) or would overwrite inputs.
    InputError, DeviceError
        See :func:`qsmengine.io.gre.load_gre` and :func:`qsmengine.modalities.gre.run.run_qsm`.
    """
    series, given = load_series(request, config)
    mask, times = given.mask, series.echo_times
    grid = object_grid(series, config, device, mask=mask)
    plan = plan_qsm(
        config, grid, len(times),
        has_mask=mask is not None, has_labels=given.labels is not None, has_r2=given.r2 is not None,
    )  # fmt: skip
    inputs = [Path(request.name)] if request.name else [*request.magnitude, *request.phase, *request.real]
    names = Naming.of(*inputs)
    outputs = plan_outputs(
        plan, "qsm", PRODUCTS, request.out, names, given.sources,
        force=request.force, dry_run=dry_run, tables=quality_files(names, "qsm"),
    )  # fmt: skip
    check_memory(plan, device)
    notes = [*given.notes, *plan.notes]
    if dry_run:
        return Outcome(plan, outputs.files, [*notes, *size_notes(grid), *outputs.notes])
    with naming(given.sources[0]):
        state = arrays_of(replace(series, grid=grid), device, mask=mask, labels=given.labels, r2=given.r2)
        raw = series if any(step.section == "denoise" for step in plan.steps) else None
        del series
        passing, boxed = (PASSING, BOXED) if raw is None else ((*PASSING, *BOXED), ())
        result = reconstruct(state, plan, grid, device, progress, passing=passing, boxed=boxed)
        images = _images(result, times) if raw is None else within(raw, result)
        if not config.input.brighter_later:
            check_echoes(images, result.within_mask()["brain_mask"])
    if given.r2 is not None and request.r2 is not None:
        notes += _check_r2(result, given.r2, request.r2)
    notes += [note for note in result.notes if note not in notes]
    notes += [*sign_notes(result), *_separation_notes(result)]
    echoes = {"EchoTimes": list(times)}
    quality = cache(partial(evaluate, MEASURES, GreEvidence(result, images)))
    described = Described(
        "qsm", config, device, given.sources, notes, echoes,
        {**echoes, "MagneticFieldStrength": grid.required_field_strength}, chi_metadata,
        measured=lambda: quality_texts(names, "qsm", MEASURES, quality()),
    )  # fmt: skip
    files = outputs.write(result, described, request.writing)
    return Outcome(plan, files, [*notes, *quality_notes(MEASURES, quality()), *outputs.notes], result)


def _check_r2(result: QsmResult, r2: Array, path: Path) -> list[str]:
    """Return a note on voxels without R2; raises InputError for R2 that does not fit the R2* of the run."""
    maps = result.within_mask()
    if "r2star" not in maps:
        return []
    check_mirrored_rates(r2, to_numpy(result["r2star"]), to_numpy(result["brain_mask"]), path)
    r2, mask = r2[result.mask_part], to_numpy(maps["brain_mask"])
    check_rates({"r2star": to_numpy(maps["r2star"]), "r2": r2, "mask": mask}, path, MISMATCHED)
    return unknown_rates(r2, mask, path)


def _images(result: QsmResult, times: tuple[float, ...]) -> GreSeries:
    """Return the series of a run in the part of the grid that :meth:`RunResult.within_mask` covers.

    Its phase lacks the offset that all echoes share.
    """
    magnitude, phase = (cast("Maps", result.maps).including(name).within_mask()[name] for name in BOXED)
    return GreSeries(magnitude, phase, times, result.grid.part(result.mask_part))


def _separation_notes(result: RunResult) -> list[str]:
    """Return the share of voxels whose R2' the separation had to set to 0."""
    share = result.facts.get("clipped")
    return (
        []
        if share is None
        else [f"chi separation: R2' is negative in {100 * share:.1f} % of the mask, 0 there"]
    )


class _Given(NamedTuple):
    """Contents of a request's files besides the series, and decisions made while reading them."""

    sources: list[Path]
    notes: list[str]
    mask: Array | None = None
    labels: Array | None = None
    r2: Array | None = None


def load_series(request: QsmRequest, config: Config) -> tuple[GreSeries, _Given]:
    """Read the images of a request; errors of :func:`qsmengine.io.gre.load_gre`."""
    loaded = load_gre(
        request.magnitude or None,
        request.phase or None,
        real=request.real or None,
        imag=request.imag or None,
        echo_times=request.echo_times,
        field_strength=request.field_strength,
        phase_sign=config.input.phase_sign,
        phase_units=config.input.phase_units,
        slice_alternation=config.input.slice_alternation,
        repetitions=config.input.repetitions,
    )
    grid = loaded.series.grid
    notes = [*loaded.notes, *extent_notes(grid)]
    extra = [path for path in (request.mask, request.labels, request.r2) if path is not None]
    mask = labels = r2 = None
    if request.mask is not None:
        mask, more = load_mask(request.mask, grid)
        notes += [*more, *check_placement(mask, loaded.series.magnitude[..., 0], request.mask)]
    if request.labels is not None:
        labels = _load_beside(request.labels, grid, np.int32)
    if request.r2 is not None:
        check_stated_unit("r2", "1/s", request.r2)
        r2 = np.nan_to_num(_load_beside(request.r2, grid, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        check_values("r2", "1/s", r2, request.r2, mask)
    return loaded.series, _Given([*loaded.sources, *extra], notes, mask, labels, r2)


def _load_beside(path: Path, grid: Grid, dtype: type[np.generic]) -> Array:
    array, own, _ = read_image(path, dtype=dtype)
    check_same_grid(own, grid, path, "the series")
    return array
