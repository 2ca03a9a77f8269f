"""The design of a group analysis: which outcomes, which groups, which covariates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from qsmengine.errors import UsageError
from qsmengine.io.yaml_text import read_yaml
from qsmengine.stats.analysis.entries import Frozen, Groups, Names, as_list, validate
from qsmengine.stats.models.corrections import Correction
from qsmengine.stats.problems import did_you_mean


class RegionOutcome(Frozen):
    """Cells of the region tables to model; each field takes one name, a list, or wildcards (``*``).

    Parameters
    ----------
    region
        Structure, as in the column "region" of the tables.
    map
        Map, as in the column names ("chi"); empty for volume_mm3 and n_voxels.
    statistic
        "mean", "median", ... or "volume_mm3".
    hemisphere
        "left", "right", "bilateral", "midline". Default: both sides together, or the midline for structures
        without sides.
    """

    region: Names
    map: Names = ("",)
    statistic: Names
    hemisphere: Names = ("bilateral", "midline")


class GroupDesign(Frozen):
    """A group analysis.

    Parameters
    ----------
    outcome
        One or several outcomes; each is modelled separately.
    groups
        Groups to compare.
    covariates
        Columns of participants.tsv: numbers are continuous, text is categorical.
    categorical
        Covariates whose numbers are codes (site 1, 2, 3).
    correction
        Of the p values over all outcomes (group effect) and over all outcomes and contrasts:
        "bonferroni", "holm", "fdr_bh" (Benjamini and Hochberg) or "none".
    session
        Session label, for participants with several sessions.
    """

    outcome: Annotated[tuple[RegionOutcome, ...], BeforeValidator(as_list)]
    groups: Groups
    covariates: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    correction: Correction
    session: str | None = None


def load_design(path: str | Path) -> GroupDesign:
    """Read a design from YAML.

    Raises
    ------
    InputError
        When the file is missing or is not YAML.
    UsageError
        For unknown, missing or wrong entries; the message names each and suggests the closest valid name.
    """
    path = Path(path)
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: need entries outcome, groups, covariates, correction")
    design = validate(content, GroupDesign, path, _explain)
    stray = [name for name in design.categorical if name not in design.covariates]
    if stray:
        raise UsageError(f"{path}: categorical: {did_you_mean(stray[0], design.covariates)} is not a covariate")
    if not design.outcome:
        raise UsageError(f"{path}: outcome: need at least one")
    return design


def _explain(error: Any) -> str:
    where = [part for part in error["loc"] if isinstance(part, str)]
    field = ".".join(where)
    if error["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {"outcome": RegionOutcome, "groups": Groups}
        owner = parts.get(where[0], GroupDesign) if len(where) > 1 else GroupDesign
        return (
            f"unknown entry {did_you_mean(where[-1], owner.model_fields)} in {'.'.join(where[:-1]) or 'design'}"
        )
    if error["type"] == "missing":
        return f"{field} is missing"
    return f"{field}: {error['msg']}, got {error['input']!r}"
