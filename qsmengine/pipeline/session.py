"""A session from files to files: load, plan, run, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.errors import InputError, UsageError
from qsmengine.io.dwi import load_dwi
from qsmengine.io.gre import load_gre, load_mask
from qsmengine.io.nifti import read_image
from qsmengine.pipeline.config import Config
from qsmengine.pipeline.derivatives import Naming, dti_files, qsm_files, write_dti, write_qsm
from qsmengine.pipeline.plan import Plan, check_memory, plan_dti, plan_qsm
from qsmengine.pipeline.progress import ProgressCallback
from qsmengine.pipeline.run import RunResult, run_dti, run_qsm
from qsmengine.pipeline.staging import check_not_among_inputs, check_output


@dataclass(frozen=True)
class QsmRequest:
    """Files of a gradient-echo session; see :func:`qsmengine.io.gre.load_gre` for the parts.

    Parameters
    ----------
    out
        Folder for the results.
    echo_times
        [s]; None takes the sidecars'.
    field_strength
        [T]; None takes the sidecars'.
    mask, labels
        Images on the series' grid.
    force
        Replace earlier outputs.
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
    force: bool = False


@dataclass(frozen=True)
class DtiRequest:
    """Files of a diffusion session; `prefix` is what the outputs' names begin with, folder included."""

    dwi: Path
    prefix: Path
    bval: Path | None = None
    bvec: Path | None = None
    mask: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a session did (or, dry, would do): plan, files, notes; `result` is None after a dry run."""

    plan: Plan
    files: Sequence[Path]
    notes: Sequence[str]
    result: RunResult | None = None

    def completed(self) -> RunResult:
        """Return the result; raises UsageError after a dry run."""
        if self.result is None:
            raise UsageError("a dry run has no result")
        return self.result


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
        Before any work, where outputs exist (without force) or would fall among the inputs.
    InputError, DeviceError
        See :func:`qsmengine.io.gre.load_gre` and :func:`qsmengine.pipeline.run.run_qsm`.
    """
    loaded = load_gre(
        request.magnitude or None,
        request.phase or None,
        real=request.real or None,
        imag=request.imag or None,
        echo_times=request.echo_times,
        field_strength=request.field_strength,
        phase_sign=config.input.phase_sign,
        phase_units=config.input.phase_units,
    )
    series, notes = loaded.series, list(loaded.notes)
    sources = [path for path in (*loaded.sources, request.mask, request.labels) if path is not None]
    mask = labels = None
    if request.mask is not None:
        mask, more = load_mask(request.mask, series.grid)
        notes += more
    if request.labels is not None:
        labels, grid, _ = read_image(request.labels, dtype=np.int32)
        if not grid.matches(series.grid):
            raise InputError("is not on the grid of the images", source=request.labels, field="affine")
    plan = plan_qsm(
        config, series.grid, series.n_echoes, has_mask=mask is not None, has_labels=labels is not None
    )
    naming = Naming.of((request.magnitude or request.real)[0])
    names = qsm_files(plan, naming)
    check_not_among_inputs(request.out, sources)
    check_output(request.out, names, sources, force=request.force or dry_run)
    check_memory(plan, device)
    notes += plan.notes
    if dry_run:
        return Outcome(plan, [request.out / name for name in names], notes)
    result = run_qsm(series, config, device, mask=mask, labels=labels, progress=progress)
    files = write_qsm(
        result,
        request.out,
        naming,
        config=config,
        device=device,
        echo_times=series.echo_times,
        sources=sources,
        notes=notes,
    )
    return Outcome(plan, files, notes, result)


def run_dti_session(
    request: DtiRequest,
    config: Config,
    device: Device,
    *,
    dry_run: bool = False,
    progress: ProgressCallback | None = None,
) -> Outcome:
    """Fit a tensor to a diffusion session from files to maps under dtifit's names.

    Raises as :func:`run_qsm_session` does.
    """
    loaded = load_dwi(request.dwi, request.bval, request.bvec)
    series, notes = loaded.series, list(loaded.notes)
    sources = [*loaded.sources, *([] if request.mask is None else [request.mask])]
    mask = None
    if request.mask is not None:
        mask, more = load_mask(request.mask, series.grid)
        notes += more
    plan = plan_dti(config, series.grid, len(series.b_values))
    files = dti_files(plan, request.prefix)
    folder = request.prefix.parent
    check_output(folder, [path.relative_to(folder) for path in files], sources, force=request.force or dry_run)
    check_memory(plan, device)
    if dry_run:
        return Outcome(plan, files, notes)
    result = run_dti(series, config, device, mask=mask, progress=progress)
    written = write_dti(
        result, request.prefix, config=config, device=device, b_values=series.b_values, sources=sources
    )
    return Outcome(plan, written, notes, result)
