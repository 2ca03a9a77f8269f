"""Bolus session: load the images, correct motion on request, then compute and write the maps."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.data import Array, DscSeries
from qsmengine.errors import UsageError, naming
from qsmengine.grid import FloatArray, Grid, check_same_grid
from qsmengine.io.dsc import DscFile, open_dsc, read_dsc
from qsmengine.io.masks import load_mask
from qsmengine.io.nifti import read_image
from qsmengine.modalities.dsc.aif_file import COLUMNS, DISPLACEMENT, VALUE, aif_table, read_aif
from qsmengine.modalities.dsc.companions import AIF, AIF_MASK, MASK, REGION
from qsmengine.modalities.dsc.motion import Motion, correct_motion
from qsmengine.modalities.dsc.products import PRODUCTS
from qsmengine.modalities.dsc.quality import MEASURES, DscEvidence
from qsmengine.modalities.dsc.run import PerfusionMaps, brain_mask, run_dsc
from qsmengine.modalities.dsc.series import FIRST, SECOND, STEP
from qsmengine.modalities.dsc.stages import plan_dsc
from qsmengine.modalities.modality import Task
from qsmengine.modalities.session import Computed, Request, Run, Session
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.naming import Naming
from qsmengine.pipeline.run.progress import Progress, ProgressCallback
from qsmengine.records import record
from qsmengine.stages.perfusion.timing import Timing, find_bolus


@record
class DscRequest(Request):
    """Files of a bolus session; its images are 4-D, one per echo.

    Parameters
    ----------
    echo_times, repetition_time
        [s]; None: from the sidecars.
    aif, aif_mask
        Arterial curve (tab-separated), or voxels of an artery; None: chosen automatically.
    relative_to
        Region whose mean the relative maps are divided by.
    territories
        Labels of regions, each deconvolved by an artery in it.
    """

    echo_times: tuple[float, ...] | None = None
    repetition_time: float | None = None
    aif: Path | None = None
    aif_mask: Path | None = None
    relative_to: Path | None = None
    territories: Path | None = None

    @property
    def roles(self) -> frozenset[str]:
        """Roles of the optional inputs."""
        given = {"aif": self.aif, "aif_mask": self.aif_mask, "region": self.relative_to}
        two = {SECOND} if len(self.images) > 1 else set()
        return frozenset(two | {role for role, path in given.items() if path is not None})

    @property
    def extra(self) -> list[Path]:
        """Input files in addition to the images."""
        given = (self.aif, self.aif_mask, self.relative_to, self.territories)
        return [*super().extra, *(path for path in given if path is not None)]

    @classmethod
    def of(cls, task: Task) -> DscRequest:
        """Return the request of a cohort's task."""
        return cls(
            task.all(FIRST, SECOND), task.out, mask=task.one(MASK), force=task.force, name=task.name,
            writing=task.writing, aif=task.one(AIF), aif_mask=task.one(AIF_MASK), relative_to=task.one(REGION),
        )  # fmt: skip


def open_series(request: DscRequest) -> DscFile:
    """Open the series; raises UsageError for both a curve and a mask of the artery."""
    if request.aif is not None and request.aif_mask is not None:
        raise UsageError("give a curve or a mask of the artery, not both")
    return open_dsc(request.images, echo_times=request.echo_times, repetition_time=request.repetition_time)


def _acquisition(file: DscFile) -> dict[str, Any]:
    return {"EchoTimes": list(file.echo_times), "RepetitionTime": file.repetition_time}


def _curve_files(naming: Naming) -> tuple[Path, Path]:
    """Return table and sidecar of the arterial curve."""
    return naming.path("aif", {}, ".tsv"), naming.path("aif", {}, ".json")


def _compute(run: Run[DscRequest, DscFile]) -> Computed:
    """Load the images, correct motion on request, and compute the maps."""
    request, config = run.request, run.config
    loaded = read_dsc(run.file)
    run.add(loaded.notes)
    series = loaded.series
    mask, grid = run.brain(lambda: brain_mask(series, run.device), series.signals[0][..., 0], loaded.unknown)
    motion = None
    if config.input.motion:
        motion = _still(series, mask, config, run.progress)
        series = motion.series
        run.notes.append(motion.note)
    aif = None if request.aif is None else read_aif(request.aif, series.times)
    aif_mask, region = (_region(path, grid, run.notes) for path in (request.aif_mask, request.relative_to))
    territories = None if request.territories is None else _labels(request.territories, grid)
    series = replace(series, grid=grid)
    with naming(run.file.files[0].path):
        result = run_dsc(
            series, config, run.device, mask=mask, aif=aif, aif_mask=aif_mask, region=region,
            territories=territories, plan=run.plan, progress=run.progress,
        )  # fmt: skip
    evidence = DscEvidence(result, series, motion)
    texts = _curve_texts(run.naming, evidence, run.file)
    return Computed(result, evidence, _facts(result, motion), texts)


def _still(
    series: DscSeries, mask: npt.NDArray[np.bool_], config: Config, progress: ProgressCallback | None
) -> Motion:
    """Register the frames to those before the bolus."""
    timing = bolus_of(series, mask, config)

    def count(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress("registration", 1, 1, done / total))

    return correct_motion(series, slice(timing.first, timing.baseline_end), mask, progress=count)


def bolus_of(series: DscSeries, mask: npt.NDArray[np.bool_], config: Config) -> Timing:
    """Return the frames before the bolus, from the last echo in `mask` (x, y, z).

    Raises
    ------
    InputError
        See :func:`qsmengine.stages.perfusion.timing.find_bolus`.
    """
    chosen = config.method("contrast")
    settle = float(getattr(chosen[1], "settle", 0.0)) if chosen else 0.0
    return find_bolus(series.signals[-1][mask].mean(axis=0, dtype=np.float64), series.repetition_time, settle)


def _region(path: Path | None, grid: Grid, notes: list[str]) -> Array | None:
    if path is None:
        return None
    found, more = load_mask(path, grid)
    notes += more
    return found


def _labels(path: Path, grid: Grid) -> Array:
    image = read_image(path)
    check_same_grid(image.grid, grid, path, "the image")
    return image.array


def _facts(result: PerfusionMaps, motion: Motion | None) -> dict[str, Any]:
    """Return what the provenance reports in addition to the steps."""
    facts: dict[str, Any] = {
        "BolusArrival": float(result.facts["arrival"]),
        "SteadyState": float(result.facts["steady"]),
        "BaselineFrames": int(result.facts["baseline_frames"]),
        "Artery": _rounded(asdict(result.aif_quality)),
    }
    if "residue_shape" in result.facts:
        names = ("residue_shape", "residue_plateau", "flow_lowest", "flow_highest")
        facts["ResidueFunction"] = _rounded({name: result.facts[name] for name in names})
    if motion is not None:
        facts["FramewiseDisplacement"] = [round(float(d), 4) for d in motion.displacement]
    return facts


def _curve_texts(naming: Naming, evidence: DscEvidence, file: DscFile) -> dict[Path, str | dict[str, Any]]:
    """Return the curves of artery and brain as a table, and its sidecar."""
    result = evidence.result
    table, sidecar = _curve_files(naming)
    times: FloatArray = np.arange(file.n_volumes, dtype=np.float64) * file.repetition_time
    quality = {"Quality": _rounded(asdict(result.aif_quality))}
    local = {f"{VALUE}_{label}": own.curve for label, own in result.facts.get("local_arteries", {}).items()}
    named = {name: {"Description": "Curve of the artery of a territory", "Units": "1/s"} for name in local}
    moved: dict[str, FloatArray] = {}
    if evidence.motion is not None:
        moved = {DISPLACEMENT: evidence.motion.displacement}
        named[DISPLACEMENT] = {"Description": "Framewise displacement, corrected", "Units": "mm"}
    brain, more = evidence.curves.mean(axis=0), {**local, **moved}
    return {table: aif_table(times, result.aif, brain, more), sidecar: {**COLUMNS, **named, **quality}}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.6g}") for name, value in values.items()}


SESSION = Session(
    step=STEP,
    datatype="perf",
    products=PRODUCTS,
    request=DscRequest.of,
    open=open_series,
    plan=plan_dsc,
    compute=_compute,
    measures=MEASURES,
    roles=lambda request, _: request.roles,
    acquisition=_acquisition,
    tables=_curve_files,
)
