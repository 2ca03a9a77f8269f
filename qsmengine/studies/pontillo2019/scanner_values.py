"""Values of the paper from the derivatives of `qsmengine run`: nothing here knows the truth of a participant.

Regional means are those of the session's own labels. Volumes are normalised by the size of the head relative
to the mean of the cohort, and scaled so that the bundled head is the average control. Blood volume is relative
to its median in the white matter of the T1-weighted image, which has that of the phantom's white matter.
Structures that are not reliable have no values. A lesion load of 0 counts as the smallest lesion that the
screening keeps.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from qsmengine.io.nifti import read_image
from qsmengine.io.transforms import read_matrix
from qsmengine.ops.agreement import smoothed
from qsmengine.ops.transforms import Transform, bring
from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.perfusion import DENSITY, perfusion_table
from qsmengine.phantom.tissue import tissue_table
from qsmengine.stages.anatomy.screening import SMALLEST
from qsmengine.studies.pontillo2019.atrophy import tissue_volumes
from qsmengine.studies.pontillo2019.published import STRUCTURES
from qsmengine.studies.pontillo2019.raw_head import control_mean

BRAIN = {"NBV": "brain", "NGMV": "gm", "NWMV": "wm"}
"""Volume of the paper -> column of ``volumes.tsv``."""
VOLUMES = (*BRAIN, *(f"volume_{s}" for s in STRUCTURES))
SCALING = "scaling"
PURE = 0.95
"""Fraction from which a voxel of the bolus series is white matter."""


def measured_values(out: Path, key: str, *, patient: bool) -> dict[str, float]:
    """Return the values of a session in the derivatives `out`; those that were not measured are missing.

    Volumes are still [mm^3], next to the factor `SCALING` of the head.
    """
    folder = out / key / "anat"
    found: dict[str, float] = {}
    for row in _rows(folder / f"{key}_volumes.tsv"):
        found |= {name: _number(row, column) for name, column in BRAIN.items()}
        found[SCALING] = _number(row, "scaling")
        if patient:
            found["lesion_load"] = max(_number(row, "screening_load"), SMALLEST * 1e-3)
    blood = _blood(out, key)
    for row in _rows(folder / f"{key}_seg-anatomy_desc-dgm_stats.tsv"):
        structure = row["region"]
        if row["index"] == "n/a" and structure in STRUCTURES and row["reliable"] == "1":
            chi = 1e3 * (_number(row, "chi_mean") - tissue_table()[structure].chi)
            found[f"chi_{structure}"] = control_mean(f"chi_{structure}") + chi
            found[f"MD_{structure}"] = 1e3 * _number(row, "md_mean")
            found[f"FA_{structure}"] = _number(row, "fa_mean")
            found[f"rCBV_{structure}"] = blood * _number(row, "cbv_mean")
            found[f"volume_{structure}"] = _number(row, "volume_mm3")
    return {name: value for name, value in found.items() if math.isfinite(value)}


def on_scale_of_paper(measured: pd.DataFrame, bundled: HeadIndex) -> pd.DataFrame:
    """Return the table with its volumes [mm^3] normalised, in mL on the scale of the paper."""
    native = tissue_volumes(bundled)
    for structure in STRUCTURES:
        inside = bundled.lookup([region.name == structure for region in bundled.regions], bool)
        native[f"volume_{structure}"] = 1e-3 * float(inside.sum()) * bundled.grid.voxel_volume
    size = measured[SCALING] / measured[SCALING].mean()
    scaled = {name: 1e-3 * measured[name] * size * control_mean(name) / native[name] for name in VOLUMES}
    return measured.assign(**scaled).drop(columns=SCALING)


def _blood(out: Path, key: str) -> float:
    """Return the factor from blood volume to that of the paper; NaN without a registered bolus series."""
    transform = out / key / "anat" / f"{key}_from-T1w_to-dsc_mode-image_xfm.txt"
    if not transform.is_file():
        return math.nan
    volume, grid = read_image(out / key / "perf" / f"{key}_CBV.nii.gz")[:2]
    white, source = read_image(out / key / "anat" / f"{key}_label-WM_probseg.nii.gz")[:2]
    soft = smoothed(white, source, max(grid.voxel_edges))
    pure = bring(soft, source, grid, Transform(read_matrix(transform))) > PURE
    values = volume[pure & (volume != 0)]
    middle = float(np.median(values)) if len(values) else math.nan
    return DENSITY * perfusion_table()["white_matter"].cbv / middle if middle > 0 else math.nan


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def _number(row: Mapping[str, str], column: str) -> float:
    text = row.get(column, "n/a")
    return math.nan if text == "n/a" else float(text)
