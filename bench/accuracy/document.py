"""docs/qsm-accuracy.md from the records of a study."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.accuracy import tables
from bench.accuracy.chains import names_of
from bench.accuracy.scenarios import Goal, Scenario
from bench.accuracy.study import Job, Store
from qsmengine.pipeline.configuration.config import DEFAULT_PRESET

DGM_SLOPE = (0.95, 1.05)
DGM_ERROR = 6.0
"""[ppb]"""

INTRODUCTION = """\
# Accuracy of susceptibility maps

Made by `python -m bench accuracy{options} --doc docs/qsm-accuracy.md`; nothing here is written by hand.

Heads: label maps of three subjects (`qsmengine/phantom/data/README.md`) with drawn veins, calcifications and
white-matter lesions, skull, sinuses, neck, coil phase, shim and noise (`qsmengine.phantom`). Fields are
computed in image space from boxes of 1 mm, so no reconstruction inverts the formula they were made with.
Where voxels are larger, the signal of the 1 mm grid is truncated in k-space, as a scanner does; chi and local
field of the truth are sampled with the same weights. Voxels of 1 mm are boxes; they are used without tilt only,
because the field of boxes disagrees with the dipole of an oblique B0 (19 % at 25 degrees).

Scores are nrmse of demeaned maps over the **whole** brain mask of the truth: where a method eroded, its zero is
an error. The column QSM-CI scores only voxels that are not 0; deep voxels lie more than 6 mm from the rim.
DGM: means of thalamus, caudate, putamen and pallidum; their slope against the truth and the largest error of
one. Median over heads throughout.
"""


@dataclass(frozen=True)
class Study:
    """What a run did, for the document.

    Parameters
    ----------
    store
        Records.
    jobs
        Part ("goals", "stages", "combinations", "presets", "forward") -> its jobs.
    goals
        Goal lines.
    machine
        Facts about the machine.
    options
        Of the command line, where they differ from the defaults: " --voxel-size 3".
    """

    store: Store
    jobs: Mapping[str, Sequence[Job]]
    goals: Sequence[Goal]
    machine: Mapping[str, Any]
    options: str = ""

    def records(
        self,
        part: str,
        *,
        table: str | None = None,
        start: str | None = None,
        scenario: Scenario | None = None,
    ) -> list[dict[str, Any]]:
        """Records of a part, of one table, start and scenario."""
        return self.store.of(
            job for job in self.jobs[part]
            if table in {None, job.chain.table} and start in {None, job.chain.start}
            and scenario in {None, job.scenario}
        )  # fmt: skip


def document(study: Study) -> str:
    """The whole document."""
    parts = [INTRODUCTION.format(options=study.options), _machine(study)]
    parts += ["## Goals", _goals(study)]
    if study.jobs["stages"]:
        parts += ["## What limits the result", _limits(study), *_stages(study)]
    if study.jobs["combinations"]:
        parts += _combinations(study)
    if study.jobs["presets"]:
        parts += ["## Presets", *_presets(study)]
    if study.jobs["forward"]:
        parts += ["## Heads by qsm-forward", *_forward(study)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _machine(study: Study) -> str:
    facts = study.machine
    return (
        f"{facts['date'][:10]}, qsmengine {facts['qsmengine']}, commit {facts['commit']}, {facts['device']}, "
        f"{facts['threads']} threads of {facts['cpu']}. Times were taken beside other work."
    )


def _goals(study: Study) -> str:
    rows = []
    for goal in study.goals:
        found = tables.medians(study.records("goals", start=goal.start, scenario=goal.scenario))
        stretch = "" if goal.stretch is None else f", stretch {goal.stretch:g}"
        row = [goal.title, f"{goal.limit:g}{stretch}"]
        if not found:
            rows.append([*row, *["not run"] * 5])
            continue
        usual = next((m for m in found if m.chain == DEFAULT_PRESET), None)
        best = found[0]
        reached = "n/a" if usual is None else f"{usual.values['whole']:.1f}"
        rows.append([
            *row, reached, f"{best.values['whole']:.1f} ({best.chain})", f"{best.worst:.1f}",
            f"{best.values['dgm_slope']:.2f}", f"{best.values['dgm_error']:.1f}",
        ])  # fmt: skip
    titles = [
        "from", "goal [%]", f"preset {DEFAULT_PRESET} [%]", "best chain [%]", "worst head [%]", "DGM slope",
        "DGM error [ppb]",
    ]  # fmt: skip
    size = study.goals[0].scenario.voxel_size
    low, high = DGM_SLOPE
    note = f"Goals for DGM at SNR 100: slope {low:g} to {high:g}, error at most {DGM_ERROR:g} ppb."
    return (
        f"Voxels of {size:g} mm; nrmse of chi in the whole mask.\n\n{tables.markdown(titles, rows)}\n\n{note}"
    )


def _limits(study: Study) -> str:
    """Nrmse of chi from ever later inputs: what each step adds."""
    size = study.jobs["stages"][0].scenario.voxel_size
    rows = []
    for title, part, start in (
        ("true local field", "stages", "local"),
        ("true total field", "combinations", "total"),
        ("raw phase", "combinations", "raw"),
    ):
        found = tables.medians(r for r in study.records(part, start=start) if "dgm_slope" in r)
        if found:
            best, middle = found[0], statistics.median(m.values["whole"] for m in found)
            rows.append([title, best.chain, f"{best.values['whole']:.1f}", f"{middle:.1f}"])
    titles = ["chi from", "best chain", "its nrmse [%]", "median of all chains [%]"]
    lines = [f"Here and in all that follows: voxels of {size:g} mm.", tables.markdown(titles, rows)]
    for table, what in (
        ("field", "total field from raw phase"),
        ("background", "local field from the true total field"),
    ):
        found = tables.medians(study.records("stages", table=table))
        if found:
            lines.append(f"Best {what}: {found[0].chain}, {found[0].values['whole']:.1f} %.")
    return "\n\n".join(lines)


def _stages(study: Study) -> list[str]:
    parts = []
    for table, title in (
        ("field", "Field mapping alone: raw phase against the true total field"),
        ("background", "Background removal alone: true total field against the true local field"),
        ("inversion", "Inversion alone: true local field against the true chi"),
    ):
        parts += [f"## {title}", tables.chain_table(study.records("stages", table=table))]
    return parts


def _combinations(study: Study) -> list[str]:
    total = names_of("background", "total_field")
    backgrounds = {"total": total, "raw": total + names_of("background", "phase", without=True)}
    parts = []
    for start, title in (("total", "from the true total field"), ("raw", "from raw phase")):
        records = study.records("combinations", start=start)
        parts += [
            f"## Background removal (down) with inversion (across), {title}",
            "Median nrmse of chi in the whole mask [%].",
            tables.matrix(records, backgrounds[start], names_of("inversion", "local_field")),
            "The best of them:",
            tables.chain_table(records, limit=12),
            "Leave one head out:",
            tables.left_out_table(records),
        ]
    return parts


def _presets(study: Study) -> list[str]:
    parts = ["Leave one head out, over all acquisitions that a preset is meant for:"]
    scenarios = list(dict.fromkeys(job.scenario for job in study.jobs["presets"]))
    rows = [
        [scenario.name, f"{left.head}", left.chosen, f"{left.score:.1f}", f"{left.best_score:.1f}"]
        for scenario in scenarios
        for left in tables.leave_one_out(study.records("presets", scenario=scenario))
    ]
    titles = ["acquisition", "left out", "best on the others", "its nrmse here [%]", "best nrmse here [%]"]
    parts.append(tables.markdown(titles, rows) if rows else "Needs two heads or more.")
    for scenario in scenarios:
        parts += [f"### {scenario.name}", tables.chain_table(study.records("presets", scenario=scenario))]
    return parts


def _forward(study: Study) -> list[str]:
    text = (
        "Field, phase offset, shim and signal by the package qsm-forward (k-space dipole on a grid of twice "
        "the size; polynomial shim); tissue of the heads above, averaged over voxels."
    )
    return [text, tables.chain_table(study.records("forward"))]
