"""Reproduction on simulated maps: TFCE of each course against its controls, regression on disease duration.

A nucleus is affected if at least half of its voxels have a family-wise p <= 0.05 and a lower value than in
controls. A regression agrees if p lies on the published side of 0.05 with the published sign; it has all
patients, with disease duration, age and sex as predictors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qsmengine.backend.device import Device, cpu
from qsmengine.data import Array
from qsmengine.errors import UsageError
from qsmengine.io.atomic import write_json
from qsmengine.io.nifti import write_image
from qsmengine.report.study_page import study_page
from qsmengine.stages.inference.permutation import PermutationParams, PermutationResult, permutation_test
from qsmengine.stats.models.regression import fit_hierarchical
from qsmengine.stats.tables import Dictionary, write_table
from qsmengine.studies.cells import CELLS, RECOVERY, lines, marks, recovery
from qsmengine.studies.schweser2018.cohort import (
    GROUPS,
    LATERAL,
    PULVINAR,
    Thalamus,
    draw_group,
    thalamus,
)

OUTPUTS = (
    *("cells.tsv", "recovery.tsv", "participants.tsv", "index.html", "labels.nii.gz"),
    *(f"{name}_{what}.nii.gz" for name in GROUPS for what in ("t", "p")),
)
AFFECTED = 0.5
_PEOPLE: Dictionary = {
    "course": {"Description": "CIS, RRMS or SPMS: course of the patients of this group"},
    "patient": {"Description": "1 for patients, 0 for their controls"},
    "age": {"Description": "Age", "Units": "years"},
    "woman": {"Description": "1 for women, 0 for men"},
    "duration": {"Description": "Disease duration; 0 for controls", "Units": "years"},
}


@dataclass(frozen=True)
class MapReproduction:
    """Findings of the first cohort with the published ones, and their recovery over all cohorts."""

    cells: pd.DataFrame
    recovery: pd.DataFrame

    def lines(self) -> list[str]:
        """Return a line of text per finding."""
        return lines(self.cells, self.recovery)


def reproduce_maps(
    out: str | Path,
    *,
    seeds: int = 1,
    first_seed: int = 0,
    permutations: int = 1000,
    device: Device | None = None,
    on_seed: Callable[[int, int], None] | None = None,
) -> MapReproduction:
    """Draw `seeds` cohorts of maps, test them and write the files of `OUTPUTS`; maps are those of the first.

    Raises
    ------
    UsageError
        For fewer than one seed.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: need at least 1")
    folder, place = Path(out), thalamus()
    compared = []
    for i in range(seeds):
        rng = np.random.default_rng([2018, first_seed + i])
        drawn = {name: draw_group(name, rng) for name in GROUPS}
        params = PermutationParams(permutations=permutations, seed=first_seed + i)
        used = cpu() if device is None else device
        tests = {name: _test(*one, params, used) for name, one in drawn.items()}
        found = [*_groups(tests, place), *_durations(drawn, place)]
        compared.append(pd.DataFrame(found, columns=list(CELLS)))
        if i == 0:
            _write_maps(folder, tests, place)
            everybody = pd.concat([people for people, _ in drawn.values()], ignore_index=True)
            write_table(everybody, folder / "participants.tsv", _PEOPLE)
        if on_seed is not None:
            on_seed(i + 1, seeds)
    made = MapReproduction(compared[0], recovery(compared))
    write_table(marks(made.cells), folder / "cells.tsv", CELLS)
    write_table(made.recovery, folder / "recovery.tsv", RECOVERY)
    summary = (
        f"Schweser et al. 2018, doi:10.1016/j.neuroimage.2017.10.063. {seeds} virtual cohorts of 240 thalamic "
        f"susceptibility maps, seeds {first_seed} to {first_seed + seeds - 1}, drawn with the published "
        f"pattern and assumed effect sizes; TFCE with {permutations} permutations. A nucleus is affected if at "
        "least half of its voxels have p <= 0.05 (family-wise) and are lower than in controls. Each cell shows "
        "the value of the first cohort, the published finding, agreement, and the share of agreeing cohorts."
    )
    study_page(folder, folder / "index.html", "Thalamic susceptibility in MS, reproduced", summary)
    return made


def _test(people: pd.DataFrame, maps: Array, params: PermutationParams, device: Device) -> PermutationResult:
    nuisance = people[["age", "woman"]].to_numpy(np.float64)
    tested = people["patient"].to_numpy(np.float64)
    return permutation_test(maps, thalamus().inside, tested, nuisance, params, device=device)


def _groups(tests: dict[str, PermutationResult], place: Thalamus) -> Iterator[dict[str, Any]]:
    """Yield the share of each nucleus that is significantly lower than in controls."""
    nuclei = dict.fromkeys(name for name, _ in place.parts)
    for course, result in tests.items():
        lower = (result.p_tfce[place.inside] <= 0.05) & (result.t[place.inside] < 0)
        for name in nuclei:
            inside = name in PULVINAR
            expected = (course == "RRMS" and not inside) or (course == "SPMS" and inside)
            share = float(lower[place.region((name,))].mean())
            yield {
                "table": f"{course} against controls",
                "row": name,
                "column": "share of voxels lower",
                "kind": "share",
                "published": "lower" if expected else "ns",
                "value": share,
                "agrees": (share >= AFFECTED) == expected,
            }


def _durations(drawn: dict[str, tuple[pd.DataFrame, Array]], place: Thalamus) -> Iterator[dict[str, Any]]:
    """Yield the slope over disease duration of the regions in which the paper reports a decline."""
    people = pd.concat([p for p, _ in drawn.values()], ignore_index=True)
    patients = people["patient"].to_numpy() == 1.0
    maps = np.concatenate([m for _, m in drawn.values()])[patients]
    predictors = people.loc[patients, ["age", "woman", "duration"]]
    regions = {
        "pulvinar": place.region(PULVINAR),
        "left lateral region": place.region(LATERAL, "left"),
        "whole thalamus": np.ones(maps.shape[1], np.bool_),
    }
    for name, voxels in regions.items():
        means = maps[:, voxels].mean(axis=1, dtype=np.float64)
        block = fit_hierarchical(means, [predictors])[0]
        slope = next(c for c in block.coefficients if c.name == "duration")
        yield {
            "table": "Decline with disease duration",
            "row": name,
            "column": "slope [ppb/year]",
            "kind": "estimate",
            "published": "falls",
            "value": slope.b.value,
            "low": slope.b.low,
            "high": slope.b.high,
            "agrees": slope.p < 0.05 and slope.b.value < 0,
        }


def _write_maps(folder: Path, tests: dict[str, PermutationResult], place: Thalamus) -> None:
    write_image(folder / "labels.nii.gz", place.labels.astype(np.int16), place.grid)
    for name, result in tests.items():
        for what, array, text in (
            ("t", result.t, "Student's t, patients minus controls, with age and sex"),
            ("p", result.p_tfce, "family-wise p value of TFCE by permutation; 1 outside the thalamus"),
        ):
            write_image(folder / f"{name}_{what}.nii.gz", array, place.grid)
            write_json(folder / f"{name}_{what}.json", {"Description": text, "Units": "1"})
