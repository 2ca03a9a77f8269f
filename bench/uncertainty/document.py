"""docs/uncertainty.md: what the intervals mean, and how often they contain the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.accuracy.people import ROLES
from bench.uncertainty.report import coverage_table, order_table, region_table, widths_of
from bench.uncertainty.samples import Sample
from qsmengine.stages.uncertainty.calibration import load_calibration, load_region_calibration

INTRODUCTION = Path(__file__).with_name("introduction.md")


def document(samples: Sequence[Sample], machine: Mapping[str, Any]) -> str:
    """The whole document."""
    introduction = INTRODUCTION.read_text(encoding="utf-8").format(
        development=_listed(ROLES["development"]), heads=_listed(sample.job.subject for sample in samples),
        size=samples[0].job.scenario.voxel_size, date=machine["date"][:10],
        qsmengine=machine["qsmengine"], commit=machine["commit"],
    )  # fmt: skip
    parts = [introduction]
    for name in dict.fromkeys(sample.job.calibration for sample in samples):
        chosen = [sample for sample in samples if sample.job.calibration == name]
        widths = [widths_of(sample, load_calibration(name)) for sample in chosen]
        presets = ", ".join(dict.fromkeys(sample.job.preset for sample in chosen))
        parts += [
            f"### {name} (preset {presets})",
            coverage_table(chosen, widths),
            order_table(chosen, widths),
            region_table(chosen, load_region_calibration(name)),
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(set(numbers))))
