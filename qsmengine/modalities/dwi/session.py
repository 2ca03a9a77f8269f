"""Diffusion session from files to files: load, plan, fit (in slabs if necessary), write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, on_device
from qsmengine.data import Array, DwiSeries
from qsmengine.errors import InputError, UsageError, naming
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.dwi import DwiFile, open_dwi, read_series
from qsmengine.io.masks import check_placement, load_mask
from qsmengine.io.nifti import read_image
from qsmengine.io.owned import private_folder
from qsmengine.io.volume_signal import check_volumes
from qsmengine.modalities.dwi.maps import (
    Judged,
    NameStyle,
    bids_root,
    dti_files,
    dti_images,
    fit_method,
    write_dti,
)
from qsmengine.modalities.dwi.products import PRODUCTS
from qsmengine.modalities.dwi.quality import MEASURES, DwiEvidence
from qsmengine.modalities.dwi.run import TensorMaps, run_dti
from qsmengine.modalities.dwi.slabs import Slabs, divide, run_slabs
from qsmengine.modalities.dwi.stages import plan_dti
from qsmengine.modalities.dwi.volumes import b0_limit, fitted_volumes
from qsmengine.modalities.quality import evaluate, quality_notes
from qsmengine.pipeline.configuration.messages import near
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.obsolete import obsolete_files, obsolete_note
from qsmengine.pipeline.outputs.staging import Writing, check_output
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.records import record
from qsmengine.stages.diffusion.direction_check import DirectionCheck, check_directions
from qsmengine.stages.diffusion.gradient_check import GradientCheck, check_gradients
from qsmengine.stages.diffusion.orders import TENSOR_ORDERS

if TYPE_CHECKING:
    from qsmengine.stages.diffusion.slice_residuals import SliceResiduals


@record
class DtiRequest:
    """Files of a diffusion session.

    Parameters
    ----------
    dwi, bval, bvec, mask
        Image, its gradient table (default: next to it), and the voxels to fit (default: set by
        ``diffusion.mask``).
    prefix
        Prefix of the output files, including the folder.
    gradient_deviation
        Image of nine volumes, the gradient deviation tensor L column by column.
    tensor_order
        Order of the written tensor's components, a key of
        :data:`qsmengine.stages.diffusion.orders.TENSOR_ORDERS`.
    check_gradients
        Whether to add a note if another flip or permutation of the table fits the image better.
    shells
        b-values [s/mm^2] of the shells to fit in addition to b = 0; None: chosen by
        :func:`qsmengine.modalities.dwi.volumes.fitted_volumes`.
    exclude
        Volumes to exclude, counted from 1.
    names
        "fsl" (dtifit's) or "bids" (derivatives).
    max_memory
        Memory limit of the fit [bytes]; a series that needs more is fitted in slabs. None: available memory.
    force, writing
        As in :class:`QsmRequest`.
    """

    dwi: Path
    prefix: Path
    bval: Path | None = None
    bvec: Path | None = None
    mask: Path | None = None
    gradient_deviation: Path | None = None
    tensor_order: str = "fsl"
    check_gradients: bool = True
    shells: tuple[float, ...] | None = None
    exclude: tuple[int, ...] = ()
    names: NameStyle = "fsl"
    max_memory: int | None = None
    force: bool = False
    writing: Writing = field(default_factory=Writing)


class Fitted(NamedTuple):
    """Maps, the series that was fitted as a whole or the residuals of its slabs, and notes."""

    result: TensorMaps
    source: DwiSeries | SliceResiduals
    notes: list[str]


@on_device
def run_dti_session(
    request: DtiRequest,
    config: Config,
    device: Device,
    *,
    dry_run: bool = False,
    progress: ProgressCallback | None = None,
) -> Outcome:
    """Fit a tensor to a diffusion session, from files to maps.

    Raises as :func:`run_qsm_session` does.
    """
    file, volumes, notes = _choose_volumes(request, config)
    if request.tensor_order not in TENSOR_ORDERS:
        raise UsageError(f"unknown tensor order {near(request.tensor_order, tuple(TENSOR_ORDERS))}")
    mask, deviation = _load_extra(request, file.grid, notes)
    plan = plan_dti(config, file.grid, len(volumes), has_deviation=deviation is not None)
    extra = [path for path in (request.mask, request.gradient_deviation) if path is not None]
    sources = [*file.sources, *extra]
    files = dti_files(plan, request.prefix, request.names)
    folder = request.prefix.parent
    root = bids_root(request.prefix, request.names) or folder
    names = [path.relative_to(root) for path in files]
    check_output(root, names, sources, force=request.force or dry_run)
    old = _obsolete(request, plan, root, names, sources)
    limit, has_deviation = request.max_memory, deviation is not None
    slabs = divide(plan, config, file, len(volumes), device, limit, deviation=has_deviation)
    notes += _slab_notes(plan, slabs)
    if dry_run:
        return Outcome(plan, files, [*notes, *obsolete_note(old)])
    with private_folder("fit", _existing(request.writing.scratch or folder)) as scratch:
        with naming(request.dwi):
            given = None if mask is None or request.mask is None else (mask, request.mask)
            fitted = _fit(file, volumes, slabs, config, device, scratch, given, deviation, progress)
        result = fitted.result
        notes += fitted.notes
        judge = cache(partial(_judge, request, file, volumes, fitted, deviation))
        written = write_dti(
            result,
            request.prefix,
            config=config,
            device=device,
            b_values=file.b_values[volumes],
            sources=sources,
            tensor_order=request.tensor_order,
            names=request.names,
            masked=request.mask is not None or not bool(result["brain_mask"].all()),
            notes=notes,
            judge=judge,
            writing=replace(request.writing, obsolete=old),
        )
    notes += [*judge().notes, *result.notes, *quality_notes(MEASURES, judge().quality or {})]
    return Outcome(plan, written, [*notes, *obsolete_note(old)], result)


def _choose_volumes(request: DtiRequest, config: Config) -> tuple[DwiFile, npt.NDArray[np.intp], list[str]]:
    """Open the series; return it, the volumes to fit, and notes."""
    file = open_dwi(
        request.dwi, request.bval, request.bvec, b0_threshold=b0_limit(config), exclude=request.exclude
    )
    table = file.b_values[file.volumes], file.b_vectors[file.volumes]
    chosen, decided = fitted_volumes(config, *table, request.shells)
    return file, file.volumes[chosen], [*file.notes, *decided]


def _slab_notes(plan: Plan, slabs: Slabs) -> list[str]:
    """Return a note if the series is fitted in slabs; raise UsageError if a step needs all of it."""
    if len(slabs.ranges) <= 1:
        return []
    if any(step.section == "denoise" for step in plan.steps):
        raise UsageError("denoise needs the whole series, which is larger than memory")
    return [f"larger than memory: {len(slabs.ranges)} slabs of up to {slabs.depth} slices"]


def _obsolete(
    request: DtiRequest, plan: Plan, root: Path, names: Sequence[Path], sources: Sequence[Path]
) -> tuple[Path, ...]:
    """Return the maps that an earlier fit of the same model has written and this one does not make."""
    images = dti_images(request.prefix, PRODUCTS, request.names, fit_method(plan.steps))
    local = [path.relative_to(root) for path in images]
    return obsolete_files(root, local, names, sources, force=request.force)


def _fit(
    file: DwiFile,
    volumes: npt.NDArray[np.intp],
    slabs: Slabs,
    config: Config,
    device: Device,
    scratch: Path,
    given: tuple[Array, Path] | None,
    deviation: Array | None,
    progress: ProgressCallback | None,
) -> Fitted:
    """Fit the whole series, or slabs; `given` is a mask and its file."""
    mask = None if given is None else given[0]
    if len(slabs.ranges) > 1:
        result, slices, notes = run_slabs(
            file, volumes, slabs, config, device, scratch, mask=mask, deviation=deviation, progress=progress
        )
        return Fitted(result, slices, notes)
    loaded = read_series(file, volumes, mapped=True)
    signal = loaded.series.signal
    found = check_volumes(file, volumes, lambda index, part: signal[..., index][part])
    if given is not None:
        found += check_placement(given[0], signal[..., int(np.argmin(loaded.series.b_values))], given[1])
    result = run_dti(loaded.series, config, device, mask=mask, gradient_deviation=deviation, progress=progress)
    return Fitted(result, loaded.series, [*loaded.notes[len(file.notes) :], *found])


def _load_extra(request: DtiRequest, grid: Grid, notes: list[str]) -> tuple[Array | None, Array | None]:
    """Load the mask and the gradient deviation, if given."""
    mask = deviation = None
    if request.mask is not None:
        mask, more = load_mask(request.mask, grid)
        notes += more
    if request.gradient_deviation is not None:
        deviation = _load_deviation(request.gradient_deviation, grid)
    return mask, deviation


def _existing(folder: Path) -> Path:
    """Return the nearest existing parent folder."""
    return folder if folder.is_dir() else _existing(folder.resolve().parent)


def _judge(
    request: DtiRequest,
    file: DwiFile,
    volumes: npt.NDArray[np.intp],
    fitted: Fitted,
    deviation: Array | None,
) -> Judged:
    """Check the gradient table of a fit and, for BIDS names, evaluate its quality measures."""
    result, source = fitted.result, fitted.source
    axes = directions = None
    if request.check_gradients:
        axes = check_gradients(result["v1"], result["fa"], result.grid, mask=result["status"] > 0)
        if isinstance(source, DwiSeries):
            directions = check_directions(source, result["status"] > 0)
    notes = (*gradient_notes(axes), *direction_notes(directions))
    if request.names != "bids":
        return Judged(notes)
    from qsmengine.modalities.dwi.account import account_of, account_of_slabs, account_texts

    if isinstance(source, DwiSeries):
        evidence = DwiEvidence(result, source, axes, directions, account_of(result, source, deviation))
    else:
        evidence = DwiEvidence(result, None, axes, None, account_of_slabs(result, file, volumes, source))
    quality = evaluate(MEASURES, evidence)
    numbers, account = (volumes + 1).tolist(), evidence.account
    texts = partial(account_texts, account=account, numbers=numbers)
    return Judged(notes, quality, texts, account.losses(numbers))


def gradient_notes(check: GradientCheck | None) -> list[str]:
    """Return a note if fibres are more continuous with a modified gradient table, else none."""
    if check is None or not check.doubtful:
        return []
    better = f"fibres are {check.ratio:.2f} times more continuous with {check.best}"
    return [f"gradient table: {better} ({check.pairs} pairs of neighbours); the table may not match the image"]


def direction_notes(check: DirectionCheck | None) -> list[str]:
    """Return a note if tensors do not explain how the signal depends on the direction, else none."""
    if check is None or not check.doubtful:
        return []
    share = 100 * max(check.explained, 0.0)
    found = f"tensors explain {share:.0f} % of what neighbouring voxels have in common"
    return [f"gradient table: {found}; table and volumes are probably in different orders, or the head moved"]


def _load_deviation(path: Path, grid: Grid) -> Array:
    array, own, _ = read_image(path)
    check_same_grid(own, grid, path, "the series")
    if array.ndim != 4 or array.shape[3] != 9:
        raise InputError(f"has shape {array.shape}; nine volumes are needed", source=path, field="dim")
    return array
