"""The design of a group analysis: which outcomes, which groups, which covariates."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from qsmengine.errors import UsageError
from qsmengine.io.yaml_text import read_yaml


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Outcome(_Frozen):
    """Cells of the region tables to model; each field takes one name, a list, or wildcards (``*``).

    Parameters
    ----------
    region
        Structure as in the tables' column "region".
    map
        Map as in the column names ("chi"); leave empty for volume_mm3 and n_voxels.
    statistic
        "mean", "median", ... or "volume_mm3".
    hemisphere
        "left", "right", "bilateral", "midline". Left out, both sides together, or the midline for
        structures without sides.
    """

    region: tuple[str, ...]
    map: tuple[str, ...] = ("",)
    statistic: tuple[str, ...]
    hemisphere: tuple[str, ...] = ("bilateral", "midline")

    @field_validator("*", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)


class Groups(_Frozen):
    """The column of participants.tsv that tells the group, the reference group, the groups to compare.

    Every group of the column takes part unless `levels` lists some.
    """

    column: str
    reference: str
    levels: tuple[str, ...] | None = None


class Design(_Frozen):
    """A group analysis.

    Parameters
    ----------
    outcome
        One or several outcomes; each is modelled on its own.
    groups
        What is compared.
    covariates
        Columns of participants.tsv: numbers are continuous, text is categorical.
    categorical
        Covariates whose numbers are codes (site 1, 2, 3).
    correction
        Of the p values over all outcomes (group effect) and over all outcomes and contrasts:
        "bonferroni", "holm", "fdr_bh" (Benjamini and Hochberg) or "none".
    session
        Session label where participants have several.
    """

    outcome: tuple[Outcome, ...]
    groups: Groups
    covariates: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    correction: Literal["bonferroni", "holm", "fdr_bh", "none"]
    session: str | None = None

    @field_validator("outcome", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)


def load_design(path: str | Path) -> Design:
    """Read a design from YAML.

    Raises
    ------
    InputError
        When the file is missing or no YAML.
    UsageError
        For unknown, missing or wrong entries; the message names each with what was probably meant.
    """
    path = Path(path)
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: need entries outcome, groups, covariates, correction")
    try:
        design = Design.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: " + "; ".join(_explain(e) for e in error.errors())) from None
    stray = [name for name in design.categorical if name not in design.covariates]
    if stray:
        raise UsageError(f"{path}: categorical: {did_you_mean(stray[0], design.covariates)} is not a covariate")
    if not design.outcome:
        raise UsageError(f"{path}: outcome: need at least one")
    return design


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`name` in quotes, with the nearest of the `known` names in brackets where one is near."""
    lower = {k.lower(): k for k in sorted(known, reverse=True)}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"{name!r} (did you mean {lower[close[0]]!r}?)" if close else repr(name)


def _explain(error: Any) -> str:
    where = [part for part in error["loc"] if isinstance(part, str)]
    field = ".".join(where)
    if error["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {"outcome": Outcome, "groups": Groups}
        owner = parts.get(where[0], Design) if len(where) > 1 else Design
        return (
            f"unknown entry {did_you_mean(where[-1], owner.model_fields)} in {'.'.join(where[:-1]) or 'design'}"
        )
    if error["type"] == "missing":
        return f"{field} is missing"
    return f"{field}: {error['msg']}, got {error['input']!r}"
