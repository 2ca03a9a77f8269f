"""Analysis files: columns, their transformations, and a list of models.

Example::

    variables:                       # columns from the cohort's region tables
      thalamus_chi: {region: thalamus, map: chi, statistic: mean}
      thalamus_volume: {region: thalamus, statistic: volume_mm3}
    log: {log_ll: {of: lesion_load}} # natural logarithm of (column + offset)
    combat: {site: site, columns: [thalamus_chi], preserve: [age, sex, group], empirical_bayes: false}
    categorical: [dmt]               # columns of participants.tsv whose numbers are codes
    correction: bonferroni           # of every family; exceptions in `families`
    models:
      - {name: ages, kind: student_t, outcome: age, groups: {column: group, reference: HC, levels: [MS]}}
      - {name: dgm, kind: ancova, outcome: [thalamus_chi], groups: {column: group, reference: HC},
         covariates: [age, sex], sum_of_squares: II}
      - {name: volume, kind: hierarchical, outcome: thalamus_volume,
         blocks: [[age, sex], [log_ll], [combat_thalamus_chi]], where: {group: [MS]}}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from qsmengine.errors import UsageError
from qsmengine.io.yaml_text import read_yaml
from qsmengine.stats.analysis.entries import Frozen, Groups, Names, validate
from qsmengine.stats.models.corrections import Correction
from qsmengine.stats.problems import did_you_mean


class Cell(Frozen):
    """One cell of the region tables, named as in their columns."""

    region: str
    map: str = ""
    statistic: str
    hemisphere: str = "bilateral"


class Log(Frozen):
    """Natural logarithm of a column plus `offset`, which is needed if the column contains zeros."""

    of: str
    offset: float = 0.0


class Combat(Frozen):
    """Harmonisation over sites; the results are new columns ``combat_COLUMN``."""

    site: str
    columns: Names
    preserve: Names = ()
    empirical_bayes: bool = True


class _Model(Frozen):
    """Entries of every model: name, family of corrected tests (default: its name), selection of rows."""

    name: str
    family: str | None = None
    where: dict[str, Names] = Field(default_factory=dict)


class Checks(_Model):
    """Normality of each outcome, in each group if given, and Levene's test between the groups."""

    kind: Literal["checks"]
    outcome: Names
    groups: Groups | None = None
    centre: Literal["mean", "median"] = "median"


class Comparison(_Model):
    """A test of every group against the reference, without covariates."""

    kind: Literal["student_t", "welch_t", "mann_whitney", "chi_squared"]
    outcome: Names
    groups: Groups


class Ancova(_Model):
    """Analysis of covariance; `interactions` are covariates whose effect may differ between groups."""

    kind: Literal["ancova"]
    outcome: Names
    groups: Groups
    covariates: Names = ()
    interactions: Names = ()
    sum_of_squares: Literal["II", "III"] = "II"


class Partial(_Model):
    """Correlation of each outcome with each column of `with`, given the covariates."""

    kind: Literal["partial_correlation"]
    outcome: Names
    with_: Names = Field(alias="with")
    covariates: Names = ()


class Hierarchical(_Model):
    """Linear regression with blocks of predictors entered one after another."""

    kind: Literal["hierarchical"]
    outcome: Names
    blocks: tuple[Names, ...] = Field(min_length=1)


class Mixed(_Model):
    """Linear mixed model with a random intercept and random `slopes` per `unit`."""

    kind: Literal["mixed"]
    outcome: Names
    fixed: Names
    unit: str = "participant_id"
    slopes: Names = ()


class Power(Frozen):
    """Solution for the omitted one of `effect`, `n` and `power`; see models.power."""

    kind: Literal["power"]
    name: str
    test: Literal["t", "anova", "f"]
    effect: float | None = None
    n: float | None = Field(default=None, gt=0)
    power: float | None = Field(default=None, gt=0, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    ratio: float = Field(default=1.0, gt=0)
    groups: int = Field(default=2, ge=2)
    predictors: int = Field(default=1, ge=1)
    covariates: int = Field(default=0, ge=0)


Model: TypeAlias = Checks | Comparison | Ancova | Partial | Hierarchical | Mixed
AnyModel: TypeAlias = Annotated[Model | Power, Field(discriminator="kind")]


class Analysis(Frozen):
    """Content of an analysis file.

    Parameters
    ----------
    variables
        Column -> cell of the region tables.
    log, combat
        New columns computed from others, in this order.
    categorical
        Columns of participants.tsv whose numbers are codes.
    session
        Session for models with one row per participant, if participants have several sessions.
    correction, families
        Method for all families of tests, and exceptions: "bonferroni", "holm", "fdr_bh" or "none".
    models
        Models in the order of fitting; names are unique.
    """

    variables: dict[str, Cell] = Field(default_factory=dict)
    log: dict[str, Log] = Field(default_factory=dict)
    combat: Combat | None = None
    categorical: Names = ()
    session: str | None = None
    correction: Correction
    families: dict[str, Correction] = Field(default_factory=dict)
    models: tuple[AnyModel, ...] = Field(min_length=1)


def is_analysis(path: str | Path) -> bool:
    """Return whether a YAML file has a list of models; otherwise it is the design of one ANCOVA."""
    return "models" in _read(Path(path))


def load_analysis(path: str | Path) -> Analysis:
    """Read an analysis from YAML.

    Raises
    ------
    InputError
        When the file is missing or is not YAML.
    UsageError
        For unknown, missing or wrong entries, and repeated names.
    """
    analysis = validate(_read(Path(path)), Analysis, Path(path), _explain)
    names = [model.name for model in analysis.models]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise UsageError(f"{path}: two models are named {doubles[0]!r}")
    families = {getattr(m, "family", None) or m.name for m in analysis.models}
    stray = sorted(set(analysis.families) - families)
    if stray:
        raise UsageError(f"{path}: families: no model belongs to {did_you_mean(stray[0], families)}")
    return analysis


def _read(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    return content if isinstance(content, dict) else {}


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    what = {"extra_forbidden": "unknown entry", "missing": "is missing"}.get(error["type"], error["msg"])
    return f"{where}: {what}"
