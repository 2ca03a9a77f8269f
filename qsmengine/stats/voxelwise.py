"""Voxelwise group analysis of maps on disk, with maps of t, TFCE and p as results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.atomic import write_json
from qsmengine.io.masks import read_mask
from qsmengine.io.nifti import write_image
from qsmengine.stages.inference.permutation import PermutationParams, PermutationResult, permutation_test
from qsmengine.stats.analysis.distant import distant_note, distant_rows, distant_table
from qsmengine.stats.analysis.selection import left_out
from qsmengine.stats.derivatives.typed_columns import Unread, read_column
from qsmengine.stats.models.effects import Floats
from qsmengine.stats.models.terms import code_terms
from qsmengine.stats.problems import did_you_mean, raise_problems
from qsmengine.stats.regions.files import read_on_grid
from qsmengine.stats.tables import Dictionary, read_table, write_table

if TYPE_CHECKING:
    from qsmengine.backend.device import Device

OUTPUTS = ("t", "tfce", "desc-tfce_p", "desc-t_p")
_DESCRIPTIONS = {
    "t": "Student's t of the tested column",
    "tfce": "threshold-free cluster enhancement of t, signed",
    "desc-tfce_p": "family-wise p value of tfce by permutation; 1 outside the mask",
    "desc-t_p": "family-wise p value of t by permutation; 1 outside the mask",
}
_NULL: Dictionary = {
    "tfce": {"Description": "Largest enhanced value of each permutation, unpermuted first", "Units": "1"},
    "t": {"Description": "Largest t of each permutation", "Units": "1"},
}
_EXCLUDED: Dictionary = {
    "participant_id": {"Description": "Excluded participant"},
    "reason": {"Description": "Reason for the exclusion"},
}


@dataclass(frozen=True)
class Contrast:
    """The tested effect.

    Parameters
    ----------
    tested
        Column of the table: numbers (test of the slope) or groups.
    reference, level
        For groups: test of `level` minus `reference`; `level` may be omitted if there are two groups.
    covariates
        Nuisance columns; text is categorical.
    """

    tested: str
    reference: str | None = None
    level: str | None = None
    covariates: tuple[str, ...] = ()


def run_voxelwise(
    table: str | Path,
    mask: str | Path,
    out: str | Path,
    contrast: Contrast,
    params: PermutationParams,
    *,
    device: Device,
    progress: Callable[[float], None] | None = None,
    notes: list[str] | None = None,
) -> PermutationResult:
    """Test one column in every voxel of a mask and write maps, null distribution and exclusions.

    Writes the maps of `OUTPUTS` (.nii.gz) with sidecars, ``null.tsv``, ``excluded.tsv`` and ``voxelwise.json``
    (design, parameters, numbers).

    Parameters
    ----------
    table
        TSV with participant_id, map (file, relative to the table), and the columns of the contrast.
    mask
        Image on the grid of the maps, see :mod:`qsmengine.io.masks`; voxels inside are tested.
    out
        Output folder.
    contrast, params
        The tested effect, and the parameters of the permutation test.
    device
        See :func:`qsmengine.stages.inference.permutation.permutation_test`.
    progress
        Called with the fraction done.
    notes
        List that receives notes on the mask, and on values of the columns that are far from all others.

    Raises
    ------
    InputError
        For missing columns, a participant or map in two rows, maps on another grid, and as permutation_test.
    """
    unread: Unread = {}
    people = _read_people(Path(table), contrast, unread)
    inside, grid, found = read_mask(mask)
    chosen, tested, excluded = _choose(people, contrast, table, unread)
    far = distant_note(distant_table(distant_rows(chosen, (contrast.tested, *contrast.covariates))))
    if notes is not None:
        notes += [*found, *filter(None, [far])]
    nuisance = code_terms(chosen[list(contrast.covariates)]).predictors
    maps = _read_maps(chosen["map"].tolist(), Path(table).parent, inside, grid, mask)
    result = permutation_test(maps, inside, tested, nuisance, params, device=device, progress=progress)
    folder = Path(out)
    for name, array in zip(OUTPUTS, (result.t, result.tfce, result.p_tfce, result.p_t), strict=True):
        write_image(folder / f"{name}.nii.gz", array, grid)
        write_json(folder / f"{name}.json", {"Description": _DESCRIPTIONS[name], "Units": "1"})
    null = pd.DataFrame({"tfce": result.null_tfce, "t": result.null_t})
    write_table(null, folder / "null.tsv", _NULL)
    write_table(excluded, folder / "excluded.tsv", _EXCLUDED)
    write_json(folder / "voxelwise.json", _summary(contrast, params, result, inside, chosen))
    return result


def _read_people(path: Path, contrast: Contrast, unread: Unread) -> pd.DataFrame:
    text = read_table(path)
    wanted = ("participant_id", "map", contrast.tested, *contrast.covariates)
    problems = [
        (n, f"no such column {did_you_mean(n, map(str, text.columns))}") for n in wanted if n not in text
    ]
    raise_problems(problems, "the maps cannot be tested", path)
    for name in ("participant_id", "map"):
        doubles = text.loc[text[name].duplicated() & text[name].notna(), name]
        problems += [(name, f"{value} is in two rows: give each participant one map") for value in doubles]
    columns = {name: text[name] for name in ("participant_id", "map")}
    for name in (contrast.tested, *contrast.covariates):
        values = read_column(name, text.set_index("participant_id")[name], False, problems, unread)
        columns[name] = values.set_axis(text.index)
    raise_problems(problems, "the maps cannot be tested", path)
    return pd.DataFrame(columns)


def _choose(
    people: pd.DataFrame, contrast: Contrast, source: object, unread: Unread
) -> tuple[pd.DataFrame, Floats, pd.DataFrame]:
    """Return complete rows, the tested column, and the exclusions."""
    values = people[contrast.tested]
    groups = isinstance(values.dtype, pd.CategoricalDtype)
    levels = _levels(values, contrast, source) if groups else None
    allowed = {contrast.tested: levels} if levels else {}
    reasons = dict(sorted(left_out(people, map(str, people.columns), allowed, unread).items()))
    names = people["participant_id"].to_numpy(dtype=object)
    excluded = [(names[i], reason) for i, reason in reasons.items()]
    chosen = people.iloc[[i for i in range(len(people)) if i not in reasons]]
    own = chosen[contrast.tested]
    tested: Floats = np.asarray(own.astype(str) == levels[0] if levels else own, dtype=np.float64)
    return chosen, tested, pd.DataFrame(excluded, columns=list(_EXCLUDED), dtype=object)


def _levels(values: pd.Series, contrast: Contrast, source: object) -> tuple[str, str]:
    found = sorted(values.dropna().astype(str).unique())
    if contrast.reference is None:
        raise InputError(
            f"is text; which of {', '.join(found)} is the reference?", source=source, field=contrast.tested
        )
    others = [name for name in found if name != contrast.reference]
    level = contrast.level if contrast.level is not None else (others[0] if len(others) == 1 else None)
    if level is None:
        raise InputError(f"which of {', '.join(others)} is compared?", source=source, field=contrast.tested)
    for name in (contrast.reference, level):
        if name not in found:
            raise InputError(f"has no group {did_you_mean(name, found)}", source=source, field=contrast.tested)
    return level, contrast.reference


def _read_maps(files: Sequence[str], folder: Path, inside: Array, grid: Grid, mask: str | Path) -> Array:
    maps = np.empty((len(files), int(inside.sum())), np.float32)
    for row, name in zip(maps, files, strict=True):
        array = read_on_grid(grid, mask, folder / name)
        row[:] = array[inside]
        if not np.isfinite(row).all():
            raise InputError("not all values inside the mask are finite", source=folder / name)
    return maps


def _summary(
    contrast: Contrast,
    params: PermutationParams,
    result: PermutationResult,
    inside: Array,
    chosen: pd.DataFrame,
) -> dict[str, Any]:
    significant = result.p_tfce[inside != 0] <= 0.05
    return {
        "tested": contrast.tested,
        "reference": contrast.reference,
        "level": contrast.level,
        "covariates": list(contrast.covariates),
        "participants": chosen["participant_id"].tolist(),
        "df": result.df,
        "parameters": params.model_dump(mode="json"),
        "voxels": int((inside != 0).sum()),
        "voxels_p_below_0.05": int(significant.sum()),
        "smallest_p": float(result.p_tfce.min()),
    }
