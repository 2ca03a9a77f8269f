"""Group analysis of regional values: an ANCOVA per outcome over the region tables of a cohort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json
from qsmengine.stats.analysis.design import GroupDesign, load_design
from qsmengine.stats.analysis.distant import DISTANT, distant_rows, distant_table
from qsmengine.stats.analysis.group_columns import ANCOVA_COLUMNS, EXCLUDED_COLUMNS
from qsmengine.stats.analysis.outcome_cells import CellKey, select_cells
from qsmengine.stats.analysis.remarks import remark_on_sessions, remarks_on_codes
from qsmengine.stats.analysis.selection import group_levels, left_out, require_two_each, with_groups
from qsmengine.stats.derivatives.collect import CELL, Cohort, read_cohort
from qsmengine.stats.derivatives.ratings import Excluded, without_excluded
from qsmengine.stats.derivatives.typed_columns import Unread, read_column
from qsmengine.stats.derivatives.units import with_units
from qsmengine.stats.models.ancova import AncovaFit, Estimate, fit_ancova
from qsmengine.stats.models.corrections import correct
from qsmengine.stats.problems import did_you_mean, raise_problems
from qsmengine.stats.tables import write_table


@dataclass(frozen=True)
class GroupResult:
    """Tables of a group analysis.

    One row per outcome and group; one per exclusion with its reason; one per value that is far from all others.
    `remarks` are sentences on the model as a whole.
    """

    ancova: pd.DataFrame
    excluded: pd.DataFrame
    distant: pd.DataFrame
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _People:
    """Participants with the typed columns of the design; `levels` are the groups, the reference first."""

    table: pd.DataFrame
    levels: tuple[str, ...]
    unread: Unread


@dataclass
class _Notes:
    """Problems, which stop the analysis, and exclusions and distant values, which are recorded."""

    problems: list[tuple[str, str]] = field(default_factory=list)
    excluded: list[dict[str, str | None]] = field(default_factory=list)
    distant: list[dict[str, Any]] = field(default_factory=list)

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
    exclude: str | Path | None = None,
) -> GroupResult:
    """Fit the design to every outcome and write its tables and ``design.json``.

    The tables ``group_ancova.tsv``, ``excluded.tsv``, and ``distant.tsv`` each have a data dictionary (.json).
    Nothing is written when the model cannot be fitted.

    Parameters
    ----------
    design_path
        YAML, see :class:`qsmengine.stats.analysis.design.GroupDesign`.
    derivatives
        BIDS derivatives folder with ``*_desc-dgm_stats.tsv`` below ``sub-*``.
    out_dir
        Folder for the results.
    participants
        participants.tsv; the one in `derivatives` when None.
    exclude
        Table of ratings, see :func:`qsmengine.stats.derivatives.ratings.without_excluded`.

    Raises
    ------
    UsageError
        For a wrong design file.
    InputError
        For unreadable tables, and, as a list of all problems: a missing or constant column, fewer than two
        groups or members of a group, too few participants, several tables of one participant.
    """
    design = load_design(design_path)
    cohort, rejected = read_cohort(derivatives, participants=participants), list[Excluded]()
    if exclude is not None:
        cohort, rejected = without_excluded(cohort, exclude)
    result = analyse_groups(design, cohort, source=design_path, rejected=rejected)
    out = Path(out_dir)
    write_table(result.excluded, out / "excluded.tsv", EXCLUDED_COLUMNS)
    write_table(result.distant, out / "distant.tsv", DISTANT)
    write_json(out / "design.json", design.model_dump(mode="json"))
    write_table(result.ancova, out / "group_ancova.tsv", ANCOVA_COLUMNS)
    return result


def analyse_groups(
    design: GroupDesign, cohort: Cohort, *, source: object = "design", rejected: Sequence[Excluded] = ()
) -> GroupResult:
    """Select participants and fit every outcome; raises as :func:`run_group_analysis`.

    `rejected` are sessions that are no longer in `cohort`; they are listed among the exclusions.
    """
    notes = _Notes()
    for one in rejected:
        session = "" if one.session is None else f"ses-{one.session}: "
        notes.exclude(one.participant, f"{session}{one.reason}")
    people = _read_people(design, cohort.participants, notes.problems)
    values = _one_table_each(design, with_units(cohort.measures), notes)
    notes.stop_if_any(source)
    complete = _complete_participants(design, people, set(values["participant_id"]), notes)
    fits: dict[CellKey, AncovaFit] = {}
    for cell, outcome in _outcomes(design, values, notes):
        rows, name = _with_value(outcome, complete, cell, notes), " ".join(filter(None, cell))
        notes.distant += distant_rows(rows.rename(columns={"outcome": name}), (name, *design.covariates))
        try:
            require_two_each(rows, design.groups.column, people.levels)
            columns = with_groups(rows, design.groups.column, people.levels, design.covariates)
            fits[cell] = fit_ancova(rows["outcome"].to_numpy(np.float64), columns, design.groups.column)
        except InputError as error:
            notes.problems.append((name, str(error)))
    notes.stop_if_any(source)
    excluded = pd.DataFrame(notes.excluded, columns=list(EXCLUDED_COLUMNS), dtype=object)
    tables = values[values["participant_id"].isin(complete.index)].drop_duplicates("participant_id")
    remarks = (*remark_on_sessions(tables), *remarks_on_codes(complete, design.covariates))
    result = _result_table(fits, design, people.levels)
    return GroupResult(result, excluded, distant_table(notes.distant), remarks)


def _read_people(design: GroupDesign, participants: pd.DataFrame, problems: list[tuple[str, str]]) -> _People:
    """Type the columns that the design names; faults are appended to `problems`."""
    table = participants.set_index("participant_id", drop=False)
    group = design.groups.column
    wanted = (group, *design.covariates)
    doubles = {name for name in wanted if wanted.count(name) > 1}
    problems += [(name, "appears in the design twice") for name in sorted(doubles)]
    problems += [
        (name, f"participants.tsv has no column {did_you_mean(name, table.columns)}")
        for name in wanted
        if name not in table
    ]
    columns: dict[str, pd.Series] = {"participant_id": table["participant_id"]}
    unread: Unread = {}
    for name in design.covariates:
        if name in table:
            columns[name] = read_column(name, table[name], name in design.categorical, problems, unread)
    levels: tuple[str, ...] = ()
    if group in table:
        columns[group] = table[group]
        levels, wrong = group_levels(design.groups, table[group].dropna().unique())
        problems += [(group, what) for what in wrong]
        if len(levels) > 1 and design.groups.levels and design.groups.reference not in design.groups.levels:
            problems.append((group, f"levels leave out the reference {design.groups.reference!r}"))
    return _People(pd.DataFrame(columns, index=table.index), levels, unread)


def _one_table_each(design: GroupDesign, values: pd.DataFrame, notes: _Notes) -> pd.DataFrame:
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


def _complete_participants(
    design: GroupDesign, people: _People, with_table: set[str], notes: _Notes
) -> pd.DataFrame:
    """Participants with a table, a group that is compared, and every covariate."""
    table, group = people.table, design.groups.column
    for participant in sorted(with_table - set(table.index)):
        notes.exclude(participant, "not in participants.tsv")
    needed = (group, *design.covariates)
    reasons = left_out(table, needed, {group: people.levels}, people.unread, remark=", not compared")
    keep = []
    for i, participant in enumerate(table.index):
        parts = [*([] if participant in with_table else ["no region table"]), *filter(None, [reasons.get(i)])]
        keep.append(not parts)
        if parts:
            notes.exclude(participant, "; ".join(parts))
    return table[keep]


def _outcomes(
    design: GroupDesign, values: pd.DataFrame, notes: _Notes
) -> Iterator[tuple[CellKey, pd.Series[float]]]:
    """Cells of the design, each with its values by participant; wildcards skip cells without a value."""
    chosen = select_cells(design.outcome, values, notes.problems)
    by_cell = values.set_index("participant_id").groupby(list(CELL), sort=False)["value"]
    for cell, named in chosen.items():
        series = by_cell.get_group(cell)
        if not named and series.isna().all():
            notes.exclude(None, "no participant has a value", dict(zip(CELL, cell, strict=True)))
        else:
            yield cell, series


def _with_value(
    outcome: pd.Series[float], complete: pd.DataFrame, cell: CellKey, notes: _Notes
) -> pd.DataFrame:
    """Complete participants who have this outcome."""
    rows = complete.assign(outcome=outcome.reindex(complete.index))
    for participant in rows.index[rows["outcome"].isna()]:
        known = participant in outcome.index
        reason = "value is n/a" if known else "its table has no such row or column"
        notes.exclude(participant, reason, dict(zip(CELL, cell, strict=True)))
    return rows[rows["outcome"].notna()]


def _result_table(
    fits: Mapping[CellKey, AncovaFit], design: GroupDesign, levels: Sequence[str]
) -> pd.DataFrame:
    rows = []
    for cell, fit in fits.items():
        test = fit.terms[design.groups.column]
        shared = {
            **dict(zip(CELL, cell, strict=True)),
            "n_total": sum(fit.n.values()),
            "f": test.f,
            "df_group": test.df,
            "df_residual": test.df_residual,
            "p": test.p,
            "partial_eta_squared": test.effect.value,
        }
        for name in levels:
            contrast = fit.contrasts.get(name)
            rows.append(
                shared
                | {"group": name, "reference": levels[0], "n": fit.n[name]}
                | _columns("adjusted_mean", fit.adjusted_means[name])
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
    values = (estimate.value.value, estimate.se, estimate.value.low, estimate.value.high)
    names = ("", "_se", "_ci_low", "_ci_high")
    return {f"{prefix}{name}": value for name, value in zip(names, values, strict=True)}
