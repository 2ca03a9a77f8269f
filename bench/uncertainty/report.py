"""Tables: how often intervals contain the truth, by layer, kind of head and tissue."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bench.accuracy.scoring import LAYERS, REGIONS
from bench.accuracy.tables import markdown
from bench.uncertainty.samples import Floats, Sample, regions_of
from qsmengine.data import Array
from qsmengine.stages.uncertainty.calibrated import half_width
from qsmengine.stages.uncertainty.calibration import LEVELS, Coefficients
from qsmengine.stages.uncertainty.causes import NAMES

Rows = list[tuple[float, ...]]
"""Coverage of both levels [%], by layer."""
Widths = dict[int, Floats]
"""Level [%] -> half-width of the interval in every voxel [ppm]."""
VOLUMES = {(0, 1500): "below 1.5 ml", (1500, 50000): "1.5 to 50 ml", (50000, math.inf): "above 50 ml"}
"""Least and largest volume of structures [mm^3] -> title."""
TITLES = {"layer_1": "layer 1", "layer_2": "2", "layer_3": "3", "layer_4": "4", "layers_5_8": "5 to 8"}


def widths_of(sample: Sample, coefficients: Mapping[int, Coefficients]) -> Widths:
    """Half-widths of the intervals, as the method computes them."""
    causes = dict(zip(NAMES, sample.causes.T, strict=True))
    narrow, wide = (half_width(causes, coefficients[level]) for level in LEVELS)
    return {LEVELS[0]: narrow, LEVELS[1]: np.maximum(narrow, wide)}


def coverage_table(samples: Sequence[Sample], widths: Sequence[Widths]) -> str:
    """Coverage by layer: one row for all heads, each counted alike, then one for every head."""
    rows = [(_title(s), _row(s, w)) for s, w in zip(samples, widths, strict=True)]
    values = np.array([row for _, row in rows])
    mean: Rows = [tuple(_mean(column) for column in layer.T) for layer in values.transpose(1, 0, 2)]
    titles = ["head", *(TITLES.get(name, name) for name in LAYERS), "all"]
    return markdown(titles, [[name, *map(_text, row)] for name, row in [("**mean**", mean), *rows]])


def order_table(samples: Sequence[Sample], widths: Sequence[Widths]) -> str:
    """Size of half-widths and errors, and how well the half-widths order the errors."""
    rows = []
    for sample, width in zip(samples, widths, strict=True):
        error = np.abs(sample.error)
        rows.append([
            _title(sample), f"{1e3 * float(np.median(width[68])):.1f}",
            f"{1e3 * float(np.quantile(error, 0.68)):.1f}", f"{rank_correlation(error, width[68]):.2f}",
            f"{sparsification(error, width[68]):.2f}",
        ])  # fmt: skip
    titles = [
        "head",
        "median half-width [ppb]",
        "68 % of errors below [ppb]",
        "rank correlation",
        "sparsification",
    ]
    return markdown(titles, rows)


def region_table(samples: Sequence[Sample], coefficients: Mapping[int, Coefficients]) -> str:
    """Coverage of regions' means over all heads: deep grey matter, every structure, and by volume.

    `coefficients` are those of regions.
    """
    regions = [region for sample in samples for region in regions_of(sample)]
    rows = []
    for title, chosen in _groups(regions).items():
        ratios = [region_ratios(region, coefficients) for region in chosen]
        shares = [f"{100 * float(np.mean([r[level] <= 1 for r in ratios])):.0f}" for level in LEVELS]
        errors = 1e3 * np.abs([float(region.error.mean()) for region in chosen])
        rows.append([title, str(len(chosen)), " / ".join(shares), f"{np.quantile(errors, 0.68):.1f}"])
    return markdown(["means of", "regions", "coverage", "68 % of errors below [ppb]"], rows)


def _groups(regions: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Rows of the table of regions; without those that contain none."""
    deep = [number for numbers in REGIONS.values() for number in numbers]
    groups = {"deep grey matter": [r for r in regions if r.label[0] in deep]}
    groups |= {name: [r for r in regions if r.label[0] in numbers] for name, numbers in REGIONS.items()}
    groups["all structures"] = list(regions)
    for (low, high), title in VOLUMES.items():
        groups[title] = [r for r in regions if low <= len(r.label) * r.voxel_volume < high]
    return {title: chosen for title, chosen in groups.items() if chosen}


def region_ratios(region: Sample, coefficients: Mapping[int, Coefficients]) -> dict[int, float]:
    """Level [%] -> size of the error of a region's mean over the half-width of its interval."""
    error = abs(float(region.error.mean()))
    return {level: error / float(width.mean()) for level, width in widths_of(region, coefficients).items()}


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's correlation; ties count in the order they stand in."""
    a, b = (np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (first, second))
    return float(np.corrcoef(a, b)[0, 1])


def sparsification(error: Floats, width: Floats, steps: int = 20) -> float:
    """Share of the possible gain when voxels are left out in the order of `width` instead of at random.

    1: the order of the errors themselves; 0: a random order, or a constant map.
    """
    orders: dict[str, Callable[[], Array]] = {
        "width": lambda: np.argsort(width, kind="stable"), "best": lambda: np.argsort(error, kind="stable"),
    }  # fmt: skip
    areas = {}
    kept = np.linspace(0.05, 1, steps)
    for name, order in orders.items():
        sums = np.cumsum(error[order()])
        counts = np.maximum((kept * len(error)).astype(int), 1)
        areas[name] = float(np.mean(sums[counts - 1] / counts))
    usual = float(error.mean())
    return (usual - areas["width"]) / (usual - areas["best"])


def _mean(values: Floats) -> float:
    """Mean of the finite values; NaN without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _title(sample: Sample) -> str:
    return f"{sample.job.scenario.name} (head {sample.job.subject})"


def _row(sample: Sample, widths: Widths) -> Rows:
    error = np.abs(sample.error)
    parts = []
    for first, last in LAYERS.values():
        parts.append(_shares(error, widths, (sample.layer >= first) & (sample.layer <= (last or np.inf))))
    return [*parts, _shares(error, widths, np.ones(len(error), bool))]


def _shares(error: Floats, widths: Widths, where: Array) -> tuple[float, ...]:
    """Percentages of the voxels `where` whose error is within the interval; NaN without voxels."""
    if not where.any():
        return float("nan"), float("nan")
    narrow, wide = (100 * float((error[where] <= widths[level][where]).mean()) for level in LEVELS)
    return narrow, wide


def _text(shares: tuple[float, ...]) -> str:
    return "n/a" if np.isnan(shares).any() else " / ".join(f"{share:.0f}" for share in shares)
