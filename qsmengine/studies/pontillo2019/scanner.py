"""The study as from a scanner: raw images of every participant, through `qsmengine run`, to the group models.

Gradient echoes, diffusion, bolus series, T1-weighted and FLAIR images are drawn into a BIDS dataset. The steps
of `run` segment, screen, register, reconstruct and tabulate; only clinical variables are taken as drawn. Drawn
participants and finished steps are kept, so an interrupted run continues, and `qsmengine run` may process the
dataset elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from qsmengine.cohort.ledger.events import OnEvent
from qsmengine.cohort.ledger.records import read_record
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.plan.model import SessionRecord, reasons_of
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.errors import DeviceError
from qsmengine.ops.registration import MISSING, available
from qsmengine.phantom.labels import load_head_index
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stats.tables import Dictionary, write_table
from qsmengine.studies.pontillo2019.bias import BIAS, MEASURED, bias_table, described
from qsmengine.studies.pontillo2019.cohort import draw_cohort
from qsmengine.studies.pontillo2019.participants import OnParticipant, each_participant
from qsmengine.studies.pontillo2019.raw import RawReproduction, RawSettings, whole_cohort
from qsmengine.studies.pontillo2019.scanner_head import BRAIN, HEAD, draw_participant
from qsmengine.studies.pontillo2019.scanner_values import SCALING, measured_values, on_scale_of_paper

OUTPUTS = ("bias.tsv", "measured.tsv", "times.tsv")
METRICS = (*MEASURED, *BRAIN, "lesion_load")
RAW, MAPS = "raw", "derivatives"
"""Folders of the dataset and of its derivatives."""
_SUMMARY = (
    "Pontillo et al. 2019, doi:10.3174/ajnr.A5915, as from a scanner: 118 virtual heads (seed {seed}, SNR "
    "{snr:g}, gradient echoes at {voxel_size:g} mm) with gradient echoes, diffusion, bolus series, T1-weighted "
    "and FLAIR images, processed by qsmengine {engine}; clinical variables as drawn. A p value agrees if it "
    "lies on the same side of 0.05 with the same sign; other values agree if the printed one lies in their "
    "95 % confidence interval."
)
TIMES: Dictionary = {
    "participant_id": {"Description": "Virtual participant"},
    "step": {"Description": "Step of the run"},
    "state": {"Description": "State of the step"},
    "seconds": {"Description": "Wall time", "Units": "s"},
    "peak_memory": {"Description": "Largest memory of the process while it ran", "Units": "MiB"},
}


@dataclass(frozen=True)
class ScannerReproduction(RawReproduction):
    """Bias, cells, the time and memory of every step, and the reasons of steps that did not end."""

    times: pd.DataFrame | None = None
    reasons: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return bias, printed cells, time per participant, and reasons as lines of text."""
        found = super().lines()
        if self.times is not None and len(self.times):
            total = self.times.groupby("participant_id")["seconds"].sum()
            memory = self.times["peak_memory"].max() / 1024
            found.append(f"time per participant: median {total.median():.0f} s; peak memory {memory:.2f} GiB")
        return [*found, *self.reasons]


def reproduce_scanner(
    out: str | Path,
    settings: RawSettings,
    *,
    per_group: int | None = None,
    run: RunSettings | None = None,
    on_participant: OnParticipant | None = None,
    on_event: OnEvent | None = None,
) -> ScannerReproduction:
    """Draw the raw images of the cohort, process them, and compare the values with the truth.

    Writes `OUTPUTS`, for the whole cohort also those of the level raw.

    Parameters
    ----------
    out
        Output folder: the dataset in ``raw/``, its derivatives in ``derivatives/``, truths in ``subjects/``.
    settings
        Seed, voxel size of the gradient echoes, and their noise.
    per_group
        Number of participants from each of HC, RRMS and PMS; None: all, as the models need.
    run
        Workers and device of the run. As many processes draw participants; None: this one.
    on_participant
        Called with (number drawn, total, whether drawn before).
    on_event
        Called with the events of the run.

    Raises
    ------
    DeviceError
        If the package antspyx, which registers the images, is not installed, or a process died that drew.
    KeyboardInterrupt
        If a signal stopped the run; the next call continues.
    """
    if not available():
        raise DeviceError(f"--level scanner {MISSING}")
    folder, drawn = Path(out), draw_cohort(settings.seed)
    if per_group is not None:
        drawn = drawn.groupby("group", sort=False).head(per_group).reset_index(drop=True)
    run, root = run or RunSettings(), folder / RAW
    made = each_participant(
        drawn, settings, folder, partial(_draw, settings=settings, root=root), workers=run.workers or 1,
        intact=lambda key: (root / key).is_dir(), on_participant=on_participant,
    )  # fmt: skip
    keys = [str(name) for name in drawn["participant_id"]]
    plan = plan_cohort(root, folder / MAPS, load_config(), participants=keys)
    if run_cohort(plan, run, on_event).interrupted:
        raise KeyboardInterrupt
    values = [
        measured_values(folder / MAPS, key, patient=cohort == "MS")
        for key, cohort in zip(keys, drawn["cohort"], strict=True)
    ]
    truth = _with_values(drawn, METRICS, [found["truth"] for found in made])
    measured = _with_values(drawn, (*METRICS, SCALING), values)
    measured = on_scale_of_paper(measured, load_head_index(HEAD))
    records = {key: read_record(folder / MAPS, key)[0] for key in keys}
    return _compared(folder, settings, truth, measured, records, whole=per_group is None)


def _compared(
    folder: Path,
    settings: RawSettings,
    truth: pd.DataFrame,
    measured: pd.DataFrame,
    records: Mapping[str, SessionRecord | None],
    *,
    whole: bool,
) -> ScannerReproduction:
    """Write the tables and, for the whole cohort, fit the models."""
    bias, times = bias_table(truth, measured, METRICS), _times(records)
    write_table(bias, folder / "bias.tsv", BIAS)
    write_table(times, folder / "times.tsv", TIMES)
    reasons = tuple(
        f"{key}: {reason}"
        for key, record in records.items()
        for reason in (["no record in the ledger"] if record is None else reasons_of(record))
    )
    made = ScannerReproduction(bias, times=times, reasons=reasons)
    if whole:
        return replace(made, cells=whole_cohort(folder, measured, _SUMMARY.format(**settings.model_dump())))
    write_table(measured, folder / "measured.tsv", described(measured, METRICS))
    return made


def _draw(row: Mapping[str, Any], number: int, settings: RawSettings, root: Path) -> Mapping[str, Any]:
    """Write the raw images of a participant into the dataset `root`; return the truth."""
    values = {name: float(value) for name, value in row.items() if name in METRICS}
    return {"truth": draw_participant(values, settings, number, root)}


def _with_values(
    drawn: pd.DataFrame, names: Sequence[str], values: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Return the cohort with the values of each participant; NaN where there are none."""
    columns = {name: [_value(found.get(name)) for found in values] for name in names}
    return drawn.assign(**columns)


def _value(value: float | None) -> float:
    return math.nan if value is None else value


def _times(records: Mapping[str, SessionRecord | None]) -> pd.DataFrame:
    rows = [
        (key, name, step.state, step.seconds, step.peak_memory / 2**20)
        for key, record in records.items()
        for name, step in ({} if record is None else record.steps).items()
    ]
    return pd.DataFrame(rows, columns=list(TIMES))
