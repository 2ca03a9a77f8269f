"""The study as from a scanner: raw images of every participant, through `qsmengine run`, to the group models.

Gradient echoes, diffusion, bolus series, T1-weighted and FLAIR images are drawn into a BIDS dataset. The steps
of `run` segment, screen, register, reconstruct and tabulate; only clinical variables are taken as drawn. A few
participants at a time are drawn and processed, from each group in turn, and the raw images of those whose steps
are done are removed, unless they are to be kept for `qsmengine run`. Truths and finished steps are kept, so an
interrupted run continues; what it has finished can be tabulated with fewer participants per group.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from qsmengine.backend.device import available_threads
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
AHEAD = 4
"""Participants per worker that are drawn before they are processed."""
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
    keep_raw: bool = False,
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
    keep_raw
        Keep the raw images of participants whose steps are done.
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
    study = _Study(folder, settings, run or RunSettings(), keep_raw=keep_raw)
    truths: dict[str, Mapping[str, Any]] = {}
    for part in in_turns(drawn, AHEAD * max(1, study.run.workers or available_threads())):
        truths |= study.draw(part, len(truths), len(drawn), on_participant)
        study.process([str(name) for name in part["participant_id"]], on_event)
    keys = [str(name) for name in drawn["participant_id"]]
    values = [
        measured_values(folder / MAPS, key, patient=cohort == "MS")
        for key, cohort in zip(keys, drawn["cohort"], strict=True)
    ]
    truth = _with_values(drawn, METRICS, [truths[key] for key in keys])
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


def in_turns(drawn: pd.DataFrame, size: int) -> list[pd.DataFrame]:
    """Return the cohort in parts of `size` participants, each group spread evenly over all of them."""
    groups = drawn.groupby("group", sort=False)["group"]
    share = (groups.cumcount() + 0.5) / groups.transform("size")
    order = share.sort_values(kind="stable").index
    return [drawn.loc[order[start : start + size]] for start in range(0, len(order), size)]


@dataclass(frozen=True)
class _Study:
    """Folders and settings of a study whose participants are drawn and processed part by part."""

    folder: Path
    settings: RawSettings
    run: RunSettings
    keep_raw: bool

    def draw(
        self, part: pd.DataFrame, before: int, total: int, on_participant: OnParticipant | None
    ) -> dict[str, Mapping[str, Any]]:
        """Draw the participants of a part that are neither drawn nor done; return the truth of all of them."""

        def counted(done: int, _: int, known: bool) -> None:
            if on_participant is not None:
                on_participant(before + done, total, known)

        made = each_participant(
            part, self.settings, self.folder, partial(_draw, settings=self.settings, root=self.folder / RAW),
            workers=self.run.workers or 1, intact=lambda key: self._drawn(key) or self._done(key),
            on_participant=counted,
        )  # fmt: skip
        return {str(k): found["truth"] for k, found in zip(part["participant_id"], made, strict=True)}

    def process(self, keys: Sequence[str], on_event: OnEvent | None) -> None:
        """Run the steps of participants with raw images; raise KeyboardInterrupt if a signal stopped them."""
        left = [key for key in keys if self._drawn(key)]
        if left:
            root, maps = self.folder / RAW, self.folder / MAPS
            plan = plan_cohort(root, maps, load_config(), participants=left)
            if run_cohort(plan, self.run, on_event).interrupted:
                raise KeyboardInterrupt
        for key in left:
            if not self.keep_raw and self._done(key):
                gone = self.folder / f".{key}"  # a name that no later call takes for raw images
                (self.folder / RAW / key).rename(gone)
                shutil.rmtree(gone)

    def _drawn(self, key: str) -> bool:
        return (self.folder / RAW / key).is_dir()

    def _done(self, key: str) -> bool:
        record = read_record(self.folder / MAPS, key)[0]
        return record is not None and record.state == "done"


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
