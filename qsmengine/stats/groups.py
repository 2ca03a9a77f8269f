"""Group analysis of regional values: an ANCOVA per outcome over a cohort's region tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json
from qsmengine.stats.ancova import Ancova, Estimate, fit_ancova
from qsmengine.stats.collect import CELL, Cohort, read_cohort
from qsmengine.stats.design import Design, Outcome, did_you_mean, load_design
from qsmengine.stats.group_columns import ANCOVA_COLUMNS, EXCLUDED_COLUMNS
from qsmengine.stats.models.corrections import correct
from qsmengine.stats.problems import raise_problems
from qsmengine.stats.tables import write_table
from qsmengine.stats.variables import Variables, read_variables


@dataclass(frozen=True)
class GroupResult:
    """Tables of a group analysis: one row per outcome and group; one row per exclusion with its reason."""

    ancova: pd.DataFrame
    excluded: pd.DataFrame


@dataclass
class _Notes:
    """What goes wrong while the cohort is sifted: problems stop the analysis, exclusions are recorded."""

    problems: list[tuple[str, str]] = field(default_factory=list)
    excluded: list[dict[str, str | None]] = field(default_factory=list)

    def exclude(self, participant: str | None, reason: str, cell: Mapping[str, str] | None = None) -> None:
        self.excluded.append({"participant_id": participant, **dict(cell or {}), "reason": reason})

    def stop_if_any(self, source: object) -> None:
        raise_problems(self.problems, "the group model cannot be fitted", source)


def run_group_analysis(
    design_path: str | Path,
    derivatives: str | Path,
    out_dir: str | Path,
    *,
    participants: str | Path | None = None,
) -> GroupResult:
    """Fit the design to every outcome and write ``group_ancova.tsv``, ``excluded.tsv`` and ``design.json``.

    Both tables get a data dictionary (.json). Nothing is written when the model cannot be fitted.

    Parameters
    ----------
    design_path
        YAML, see :class:`qsmengine.stats.design.Design`.
    derivatives
        BIDS derivatives folder with ``*_desc-dgm_stats.tsv`` below ``sub-*``.
    out_dir
        Folder for the results.
    participants
        participants.tsv; the one in `derivatives` when None.

    Raises
    ------
    UsageError
        For a wrong design file.
    InputError
        For unreadable tables, and, as a table of all problems found: a missing or constant column, fewer
        than two groups or members of a group, too few participants, several tables of one participant.
    """
    design = load_design(design_path)
    cohort = read_cohort(derivatives, participants=participants)
    result = analyse_groups(design, cohort, source=design_path)
    out = Path(out_dir)
    write_table(result.excluded, out / "excluded.tsv", EXCLUDED_COLUMNS)
    write_json(out / "design.json", design.model_dump(mode="json"))
    write_table(result.ancova, out / "group_ancova.tsv", ANCOVA_COLUMNS)
    return result


def analyse_groups(design: Design, cohort: Cohort, *, source: object = "design") -> GroupResult:
    """Sift the cohort and fit every outcome; see :func:`run_group_analysis` for what is raised."""
    notes = _Notes()
    variables = read_variables(design, cohort.participants, notes.problems)
    values = _one_table_each(design, cohort.measures, notes)
    notes.stop_if_any(source)
    complete = _complete_participants(variables, values, notes)
    fits: dict[tuple[str, ...], Ancova] = {}
    for cell, outcome in _outcomes(design, values, notes):
        rows = _with_value(outcome, complete, cell, notes)
        try:
            fits[cell] = _fit(rows, variables)
        except InputError as error:
            notes.problems.append((_name(cell), str(error)))
    notes.stop_if_any(source)
    excluded = pd.DataFrame(notes.excluded, columns=list(EXCLUDED_COLUMNS), dtype=object)
    return GroupResult(_result_table(fits, design), excluded)


def _one_table_each(design: Design, values: pd.DataFrame, notes: _Notes) -> pd.DataFrame:
    """Take the tables of the design's session; a participant with several tables is a problem."""
    if design.session is not None:
        session = design.session.removeprefix("ses-")
        known = sorted(values["session_id"].dropna().unique().tolist())
        if session not in known:
            notes.problems.append(("session", f"no table of session {did_you_mean(session, known)}"))
        values = values[values["session_id"] == session]
    sources = values.groupby("participant_id")["source"].unique()
    for participant, files in sources[sources.map(len) > 1].items():
        notes.problems.append(
            (str(participant), f"has {len(files)} tables, choose a session: {', '.join(files)}")
        )
    return values


def _complete_participants(variables: Variables, values: pd.DataFrame, notes: _Notes) -> pd.DataFrame:
    """Participants with a table, a group that is compared, and every covariate."""
    with_table = set(values["participant_id"])
    for participant in sorted(with_table - set(variables.table.index)):
        notes.exclude(participant, "not in participants.tsv")
    keep = []
    for participant in variables.table.index:
        reason = variables.missing.get(participant)
        if participant not in with_table:
            reason = "no region table" if reason is None else f"no region table; {reason}"
        if reason is not None:
            notes.exclude(participant, reason)
        else:
            keep.append(participant)
    return variables.table.loc[keep]


def _outcomes(
    design: Design, values: pd.DataFrame, notes: _Notes
) -> Iterator[tuple[tuple[str, ...], pd.Series[float]]]:
    """Cells the design asks for, each with its values by participant; wildcards skip cells nobody has."""
    cells = values.drop_duplicates(list(CELL))[list(CELL)]
    chosen: dict[tuple[str, ...], bool] = {}
    for outcome in design.outcome:
        matches = _matches(outcome, cells, notes)
        wild = any(
            c in pattern for patterns in outcome.model_dump().values() for pattern in patterns for c in "*?["
        )
        for cell in matches:
            chosen[cell] = chosen.get(cell, False) or not wild
    by_cell = values.set_index("participant_id").groupby(list(CELL), sort=False)["value"]
    for cell, named in chosen.items():
        series = by_cell.get_group(cell)
        if not named and series.isna().all():
            notes.exclude(None, "no participant has a value", dict(zip(CELL, cell, strict=True)))
        else:
            yield cell, series


def _matches(outcome: Outcome, cells: pd.DataFrame, notes: _Notes) -> list[tuple[str, ...]]:
    """Cells of one outcome; a name that matches nothing is a problem."""
    patterns = outcome.model_dump()
    keep = np.ones(len(cells), dtype=np.bool_)
    for key in CELL:
        for pattern in patterns[key]:
            named = key in outcome.model_fields_set
            if named and not any(fnmatchcase(str(known), pattern) for known in cells[key].unique()):
                close = did_you_mean(pattern, (str(k) for k in cells[key].unique()))
                notes.problems.append((f"outcome.{key}", f"the tables have no {key} {close}"))
        keep &= (
            cells[key].map(lambda v, key=key: any(fnmatchcase(str(v), p) for p in patterns[key])).to_numpy(bool)
        )
    found = list(cells[keep].itertuples(index=False, name=None))
    if not found and not notes.problems:
        asked = ", ".join(f"{key} {'/'.join(patterns[key])}" for key in CELL if patterns[key] != ("",))
        notes.problems.append(("outcome", f"no column of the tables is {asked}"))
    return found


def _with_value(
    outcome: pd.Series[float], complete: pd.DataFrame, cell: tuple[str, ...], notes: _Notes
) -> pd.DataFrame:
    """Complete participants who have this outcome."""
    rows = complete.assign(outcome=outcome.reindex(complete.index))
    for participant in rows.index[rows["outcome"].isna()]:
        known = participant in outcome.index
        reason = "value is n/a" if known else "its table has no such row or column"
        notes.exclude(participant, reason, dict(zip(CELL, cell, strict=True)))
    return rows[rows["outcome"].notna()]


def _fit(rows: pd.DataFrame, variables: Variables) -> Ancova:
    counts = rows[variables.group].value_counts().reindex(list(variables.levels), fill_value=0)
    small = [f"{name} has {n}" for name, n in counts.items() if n < 2]
    if small:
        raise InputError(f"every group needs two participants: {', '.join(small)}")
    group = pd.Categorical(rows[variables.group], categories=variables.levels)
    return fit_ancova(rows["outcome"].to_numpy(np.float64), group, rows[list(variables.covariates)])


def _result_table(fits: Mapping[tuple[str, ...], Ancova], design: Design) -> pd.DataFrame:
    rows = []
    for cell, fit in fits.items():
        shared = {
            **dict(zip(CELL, cell, strict=True)),
            "n_total": sum(fit.n.values()),
            "f": fit.f,
            "df_group": fit.df_group,
            "df_residual": fit.df_residual,
            "p": fit.p,
            "partial_eta_squared": fit.partial_eta_squared,
        }
        for name, n in fit.n.items():
            mean, contrast = fit.adjusted_means[name], fit.contrasts.get(name)
            rows.append(
                shared
                | {"group": name, "reference": design.groups.reference, "n": n}
                | _columns("adjusted_mean", mean)
                | (_columns("difference", contrast) if contrast else {})
                | ({"t": contrast.t, "p_difference": contrast.p} if contrast else {})
            )
    table = pd.DataFrame(rows)
    table["map"] = table["map"].replace("", None)
    first = ~table.duplicated(list(CELL))
    table["p_corrected"] = correct(table["p"].where(first), design.correction)
    table["p_corrected"] = table.groupby(list(CELL), dropna=False)["p_corrected"].transform("first")
    table["p_difference_corrected"] = correct(table["p_difference"], design.correction)
    return table[list(ANCOVA_COLUMNS)]


def _columns(prefix: str, estimate: Estimate) -> dict[str, Any]:
    names = ("", "_se", "_ci_low", "_ci_high")
    values = (estimate.value, estimate.se, estimate.ci_low, estimate.ci_high)
    return {f"{prefix}{name}": value for name, value in zip(names, values, strict=True)}


def _name(cell: tuple[str, ...]) -> str:
    return " ".join(part for part in cell if part)
