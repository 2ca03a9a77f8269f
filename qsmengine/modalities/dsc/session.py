"""Bolus session from files to files: load, correct motion on request, plan, run, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, on_device, to_numpy
from qsmengine.data import Array, DscSeries
from qsmengine.errors import UsageError, naming
from qsmengine.grid import FloatArray, Grid
from qsmengine.io.dsc import DscFile, open_dsc, read_dsc
from qsmengine.io.masks import load_mask
from qsmengine.modalities.dsc.aif_file import COLUMNS, aif_table, read_aif
from qsmengine.modalities.dsc.motion import Motion, correct_motion
from qsmengine.modalities.dsc.products import PRODUCTS
from qsmengine.modalities.dsc.quality import MEASURES, DscEvidence
from qsmengine.modalities.dsc.run import PerfusionMaps, brain_mask, run_dsc
from qsmengine.modalities.dsc.series import SECOND, STEP
from qsmengine.modalities.dsc.stages import plan_dsc
from qsmengine.modalities.outputs import plan_outputs
from qsmengine.modalities.quality import quality_files, quality_texts
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.maps import Described, Naming, product_files
from qsmengine.pipeline.outputs.staging import Writing
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import Progress, ProgressCallback
from qsmengine.stages.object_size import sized_grid
from qsmengine.stages.perfusion.timing import find_bolus

DATATYPE = "perf"


@dataclass(frozen=True)
class DscRequest:
    """Files of a bolus session.

    Parameters
    ----------
    dsc
        4-D image, or one per echo.
    out
        Output folder.
    echo_times, repetition_time
        [s]; None: from the sidecars.
    mask
        Brain mask; None: computed.
    aif, aif_mask
        Arterial curve (tab-separated), or voxels of an artery; None: chosen automatically.
    relative_to
        Region whose mean the relative maps are divided by.
    force
        Replace earlier outputs.
    name
        BIDS name from which output names are derived; None: that of the image.
    writing
        Location of unfinished files, and whether provenance includes durations.
    """

    dsc: tuple[Path, ...]
    out: Path
    echo_times: tuple[float, ...] | None = None
    repetition_time: float | None = None
    mask: Path | None = None
    aif: Path | None = None
    aif_mask: Path | None = None
    relative_to: Path | None = None
    force: bool = False
    name: str | None = None
    writing: Writing = field(default_factory=Writing)

    @property
    def roles(self) -> frozenset[str]:
        """Roles of the optional inputs."""
        given = {"aif": self.aif, "aif_mask": self.aif_mask, "region": self.relative_to}
        two = {SECOND} if len(self.dsc) > 1 else set()
        return frozenset(two | {role for role, path in given.items() if path is not None})

    @property
    def extra(self) -> list[Path]:
        """Further input files."""
        given = (self.mask, self.aif, self.aif_mask, self.relative_to)
        return [path for path in given if path is not None]


def dsc_files(plan: Plan, naming: Naming) -> list[Path]:
    """Return every file that a session writes, relative to its output folder."""
    return [*product_files(plan, naming, PRODUCTS, STEP), *_tables(naming)]


def _tables(naming: Naming) -> tuple[Path, ...]:
    """Return tables and sidecars: the arterial curve, and the quality measures."""
    return *_curve_files(naming), *quality_files(naming, STEP)


def _curve_files(naming: Naming) -> tuple[Path, Path]:
    """Return table and sidecar of the arterial curve."""
    return naming.path("aif", {}, ".tsv"), naming.path("aif", {}, ".json")


@on_device
def run_dsc_session(
    request: DscRequest,
    config: Config,
    device: Device,
    *,
    dry_run: bool = False,
    progress: ProgressCallback | None = None,
) -> Outcome:
    """Compute the perfusion maps of a session, from files to BIDS derivatives.

    Raises
    ------
    UsageError
        Before any computation, if outputs exist (without force) or would overwrite inputs, and for both a curve
        and a mask of the artery.
    InputError, DeviceError
        See :func:`qsmengine.io.dsc.load_dsc`, :func:`qsmengine.modalities.dsc.run.run_dsc` and, for motion
        correction, :func:`qsmengine.modalities.dsc.motion.correct_motion`.
    """
    if request.aif is not None and request.aif_mask is not None:
        raise UsageError("give a curve or a mask of the artery, not both")
    file = open_dsc(request.dsc, echo_times=request.echo_times, repetition_time=request.repetition_time)
    plan = plan_dsc(config, file.grid, file.n_frames, request.roles)
    inputs = [Path(request.name)] if request.name else list(request.dsc)
    naming = Naming.of(*inputs, datatype=DATATYPE)
    sources = [*file.sources, *request.extra]
    outputs = plan_outputs(
        plan, STEP, PRODUCTS, request.out, naming, sources, force=request.force, dry_run=dry_run,
        tables=_tables(naming),
    )  # fmt: skip
    check_memory(plan, device)
    notes = [*file.notes, *plan.notes]
    if dry_run:
        return Outcome(plan, outputs.files, [*notes, *outputs.notes])
    result, series, motion = _run(request, file, config, device, notes, progress)
    times = {"EchoTimes": list(file.echo_times), "RepetitionTime": file.repetition_time}
    described = Described(
        STEP, config, device, sources, notes, times | _facts(result, motion), times,
        texts=_curve_texts(naming, result, file)
        | quality_texts(naming, STEP, MEASURES, DscEvidence(result, series, motion)),
    )  # fmt: skip
    files = outputs.write(result, described, request.writing)
    notes += [note for note in result.notes if note not in notes]
    return Outcome(plan, files, [*notes, *outputs.notes], result)


def _run(
    request: DscRequest,
    file: DscFile,
    config: Config,
    device: Device,
    notes: list[str],
    progress: ProgressCallback | None,
) -> tuple[PerfusionMaps, DscSeries, Motion | None]:
    """Load the images, correct motion on request, and compute the maps; extend `notes`.

    Return the maps, the series that they were computed from, and the motion.
    """
    loaded = read_dsc(file)
    notes += [note for note in loaded.notes if note not in notes]
    series = loaded.series
    mask, more = _mask(request, series, device)
    notes += more
    if loaded.unknown is not None:
        mask &= ~loaded.unknown
    motion = None
    if config.input.motion:
        motion = _still(series, mask, config, progress)
        series = motion.series
        notes.append(motion.note)
    aif = None if request.aif is None else read_aif(request.aif, series.times)
    aif_mask, region = (_region(path, series.grid, notes) for path in (request.aif_mask, request.relative_to))
    series = replace(series, grid=sized_grid(series.grid, {"mask": mask}, device=device))
    with naming(file.files[0].path):
        result = run_dsc(
            series, config, device, mask=mask, aif=aif, aif_mask=aif_mask, region=region, progress=progress
        )
    return result, series, motion


def _mask(
    request: DscRequest, series: DscSeries, device: Device
) -> tuple[npt.NDArray[np.bool_], Sequence[str]]:
    if request.mask is not None:
        return load_mask(request.mask, series.grid)
    mask, note = brain_mask(series, device)
    return to_numpy(mask), [note]


def _still(
    series: DscSeries, mask: npt.NDArray[np.bool_], config: Config, progress: ProgressCallback | None
) -> Motion:
    """Register the frames to those before the bolus."""
    chosen = config.method("contrast")
    settle = float(getattr(chosen[1], "settle", 0.0)) if chosen else 0.0
    timing = find_bolus(series.signals[-1][mask].mean(axis=0, dtype=np.float64), series.repetition_time, settle)

    def count(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress("registration", 1, 1, done / total))

    return correct_motion(series, slice(timing.first, timing.baseline_end), mask, progress=count)


def _region(path: Path | None, grid: Grid, notes: list[str]) -> Array | None:
    if path is None:
        return None
    found, more = load_mask(path, grid)
    notes += more
    return found


def _facts(result: PerfusionMaps, motion: Motion | None) -> dict[str, Any]:
    """Return what the provenance reports in addition to the steps."""
    facts: dict[str, Any] = {
        "BolusArrival": float(result.facts["arrival"]),
        "SteadyState": float(result.facts["steady"]),
        "BaselineFrames": int(result.facts["baseline_frames"]),
        "Artery": _rounded(asdict(result.aif_quality)),
    }
    if motion is not None:
        facts["FramewiseDisplacement"] = [round(float(d), 4) for d in motion.displacement]
    return facts


def _curve_texts(naming: Naming, result: PerfusionMaps, file: DscFile) -> dict[Path, str | dict[str, Any]]:
    """Return the arterial curve as a table, and its sidecar."""
    table, sidecar = _curve_files(naming)
    times: FloatArray = np.arange(file.n_frames, dtype=np.float64) * file.repetition_time
    quality = {"Quality": _rounded(asdict(result.aif_quality))}
    return {table: aif_table(times, result.aif), sidecar: {**COLUMNS, **quality}}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.6g}") for name, value in values.items()}
