"""Run an analysis file on the tables of a cohort: cohort table, tests, regressions, exclusions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from qsmengine.errors import InputError
from qsmengine.io.atomic import write_json
from qsmengine.stats.analysis import model_columns as columns
from qsmengine.stats.analysis.cohort_table import CohortTable, Exclusion, cohort_table, long_table
from qsmengine.stats.analysis.description import Analysis, Mixed, Model, Power, load_analysis
from qsmengine.stats.analysis.distant import DISTANT, distant_rows, distant_table
from qsmengine.stats.analysis.group_columns import CELL_COLUMNS
from qsmengine.stats.analysis.model_rows import (
    Row,
    Rows,
    add_model,
    add_power,
    needed_columns,
    numeric_columns,
    predicting,
)
from qsmengine.stats.analysis.remarks import remark_on_sessions, remarks_on_codes
from qsmengine.stats.analysis.selection import (
    group_levels,
    left_out,
    require_two_each,
    texts,
    where_texts,
)
from qsmengine.stats.derivatives.collect import SESSION, read_cohort
from qsmengine.stats.derivatives.ratings import Excluded, without_excluded
from qsmengine.stats.derivatives.typed_columns import odd_levels
from qsmengine.stats.models.corrections import correct
from qsmengine.stats.problems import did_you_mean, raise_problems
from qsmengine.stats.tables import Dictionary, write_table

_FITTED = ("tests", "checks", "blocks", "coefficients", "variances")
OUTPUTS = (*_FITTED, "excluded", "distant", "cohort", "cohort_long")
_LONG: Dictionary = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session"},
    **CELL_COLUMNS,
    "value": {"Description": "Value, in `unit`"},
    "unit": {"Description": "Unit from the dictionary of the region table"},
}


@dataclass(frozen=True)
class ModelTables:
    """Result tables of an analysis, columns as in model_columns, and remarks on the models."""

    tests: pd.DataFrame
    checks: pd.DataFrame
    blocks: pd.DataFrame
    coefficients: pd.DataFrame
    variances: pd.DataFrame
    excluded: pd.DataFrame
    distant: pd.DataFrame
    remarks: tuple[str, ...] = ()


def run_analysis(
    analysis_path: str | Path,
    derivatives: str | Path,
    out_dir: str | Path,
    *,
    participants: str | Path | None = None,
    exclude: str | Path | None = None,
) -> ModelTables:
    """Fit every model of an analysis file and write ``tests.tsv``, ``checks.tsv``, ``blocks.tsv``, ...

    Writes every table of `OUTPUTS` with a data dictionary (.json), and the analysis as read to
    ``analysis.json``. Nothing is written if a model cannot be fitted.

    Parameters
    ----------
    analysis_path
        YAML, see :mod:`qsmengine.stats.analysis.description`.
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
        For a wrong analysis file.
    InputError
        For unreadable tables, and, with a list of all problems, for columns and models that cannot be used.
    """
    analysis = load_analysis(analysis_path)
    cohort, rejected = read_cohort(derivatives, participants=participants), list[Excluded]()
    if exclude is not None:
        cohort, rejected = without_excluded(cohort, exclude)
    made = cohort_table(analysis, cohort, source=analysis_path)
    rows = tuple(
        {"participant_id": one.participant, "session_id": one.session, "reason": one.reason} for one in rejected
    )
    made = replace(made, excluded=(*rows, *made.excluded))
    result = fit_models(analysis, made, source=analysis_path)
    out = Path(out_dir)
    write_table(long_table(cohort), out / "cohort_long.tsv", _LONG)
    write_table(made.table, out / "cohort.tsv", _dictionary(made))
    dictionaries = (columns.TESTS, columns.CHECKS, columns.BLOCKS, columns.COEFFICIENTS, columns.VARIANCES)
    for name, dictionary in zip(_FITTED, dictionaries, strict=True):
        write_table(getattr(result, name), out / f"{name}.tsv", dictionary)
    write_table(result.excluded, out / "excluded.tsv", columns.MODEL_EXCLUDED)
    write_table(result.distant, out / "distant.tsv", DISTANT)
    write_json(out / "analysis.json", analysis.model_dump(mode="json", by_alias=True))
    return result


def fit_models(analysis: Analysis, cohort: CohortTable, *, source: object = "analysis") -> ModelTables:
    """Fit every model to the cohort table; raises as :func:`run_analysis`."""
    problems: list[tuple[str, str]] = []
    excluded = list(cohort.excluded)
    distant: list[Row] = []
    remarks: list[str] = []
    rows = Rows()
    for model in analysis.models:
        if isinstance(model, Power):
            _try(lambda m=model: add_power(m, rows), model.name, problems)
            continue
        for outcome in model.outcome:
            where = model.name if len(model.outcome) == 1 else f"{model.name}, {outcome}"
            _try(
                lambda m=model, o=outcome: _fit_one(analysis, m, o, cohort, rows, excluded, distant, remarks),
                where,
                problems,
            )
    raise_problems(problems, "models cannot be fitted", source)
    return ModelTables(
        tests=_corrected(rows.tests, columns.TESTS, analysis),
        checks=pd.DataFrame(rows.checks, columns=list(columns.CHECKS)),
        blocks=_corrected(rows.blocks, columns.BLOCKS, analysis),
        coefficients=pd.DataFrame(rows.coefficients, columns=list(columns.COEFFICIENTS)),
        variances=pd.DataFrame(rows.variances, columns=list(columns.VARIANCES)),
        excluded=pd.DataFrame(excluded, columns=list(columns.MODEL_EXCLUDED), dtype=object).drop_duplicates(),
        distant=distant_table(distant),
        remarks=tuple(dict.fromkeys(remarks)),
    )


def _try(work: object, where: str, problems: list[tuple[str, str]]) -> None:
    try:
        work()  # type: ignore[operator]
    except InputError as error:
        problems.append((where, str(error)))


def _fit_one(
    analysis: Analysis,
    model: Model,
    outcome: str,
    cohort: CohortTable,
    rows: Rows,
    excluded: list[Exclusion],
    distant: list[Row],
    remarks: list[str],
) -> None:
    """Select complete rows, record the others, values far from the rest and remarks, and fit."""
    table = cohort.table
    needed = needed_columns(model, outcome)
    absent = [name for name in needed if name not in table]
    if absent:
        raise InputError(f"there is no column {did_you_mean(absent[0], map(str, table.columns))}")
    if outcome in predicting(model):
        raise InputError(f"{outcome!r} is the outcome and a predictor")
    for name in numeric_columns(model, outcome):
        if isinstance(table[name].dtype, pd.CategoricalDtype) or table[name].dtype == object:
            raise InputError(f"{name!r} is text, numbers are needed")
    where = {name: where_texts(name, wanted, table[name]) for name, wanted in model.where.items()}
    levels = _levels(model, table, where)
    groups = {model.groups.column} if levels else set()  # type: ignore[union-attr]
    predictors = set(needed) - groups - {outcome, *SESSION}
    _check_levels(analysis, table, predictors)
    data = table
    if not isinstance(model, Mixed):
        data = _one_session(analysis, data)
    reasons = left_out(data, needed, _allowed(model, levels, where), cohort.unread)
    label = model.name if len(model.outcome) == 1 else f"{model.name}, {outcome}"
    identity = data[list(SESSION)].to_numpy(dtype=object)
    for i, reason in sorted(reasons.items()):
        participant, session = identity[i]
        excluded.append(
            {
                "model": label,
                "participant_id": str(participant),
                "session_id": session if isinstance(session, str) else None,
                "reason": reason,
            }
        )
    data = data.iloc[[i for i in range(len(data)) if i not in reasons]]
    if data.empty:
        raise InputError("no participant has every column of the model: " + ", ".join(needed))
    if levels:
        require_two_each(data, model.groups.column, levels)  # type: ignore[union-attr]
    distant += distant_rows(data, [name for name in needed if name not in {*SESSION, *groups}])
    if not isinstance(model, Mixed):
        remarks += remark_on_sessions(data)
        remarks += remarks_on_codes(data, sorted(predictors - set(model.where)))
    add_model(model, outcome, data, levels, rows)


def _check_levels(analysis: Analysis, table: pd.DataFrame, predictors: Iterable[str]) -> None:
    """Raise InputError for a category whose levels are probably not what was meant."""
    for name in sorted(predictors):
        values = table[name]
        categorical = isinstance(values.dtype, pd.CategoricalDtype)
        if categorical and (reason := odd_levels(values, name in analysis.categorical)):
            raise InputError(f"{name}: {reason}")


def _levels(model: Model, table: pd.DataFrame, where: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the groups of a model, the reference first."""
    groups = getattr(model, "groups", None)
    if groups is None:
        return ()
    column = table[groups.column]
    for name, wanted in where.items():
        column = column[[text in wanted for text in texts(table.loc[column.index, name])]]
    levels, problems = group_levels(groups, column.dropna().astype(str).unique())
    if problems:
        raise InputError(f"{groups.column} {problems[0]}")
    return levels


def _one_session(analysis: Analysis, table: pd.DataFrame) -> pd.DataFrame:
    if analysis.session is not None:
        session = analysis.session.removeprefix("ses-")
        known = sorted(table["session_id"].dropna().unique())
        if session not in known:
            raise InputError(f"no table of session {did_you_mean(session, known)}")
        table = table[table["session_id"] == session]
    doubles = table.loc[table["participant_id"].duplicated(), "participant_id"]
    if len(doubles):
        raise InputError(f"{doubles.iloc[0]} has several sessions; choose one with `session`")
    return table


def _allowed(
    model: Model, levels: tuple[str, ...], where: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Return column -> values that take part in the model."""
    allowed = dict(where)
    if levels:
        column = model.groups.column  # type: ignore[union-attr]
        allowed[column] = tuple(v for v in levels if v in allowed.get(column, levels))
    return allowed


def _corrected(rows: list[Row], dictionary: Dictionary, analysis: Analysis) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(dictionary))
    table = table.astype({"p_corrected": "float64", "correction": object})
    for family, part in table.dropna(subset=["family"]).groupby("family"):
        method = analysis.families.get(str(family).removesuffix("/contrasts"), analysis.correction)
        table.loc[part.index, "p_corrected"] = correct(part["p"], method)
        table.loc[part.index, "correction"] = method
    return table


def _dictionary(cohort: CohortTable) -> Mapping[str, Mapping[str, str]]:
    """Return the data dictionary of the cohort table."""
    found: dict[str, Mapping[str, str]] = {}
    for name in map(str, cohort.table.columns):
        entry = {"Description": cohort.descriptions.get(name, name)}
        found[name] = entry | ({"Units": cohort.units[name]} if name in cohort.units else {})
    return found
