"""Quality measures of a session: values, ranges, traffic lights, and their table with its dictionary.

A modality declares its measures. Each has a range of good values and a wider range of usable ones: a value in
the first is green, in the second amber, outside both red. Measures without ranges inform only. The light of a
session is the worst of its measures, and each measure that is not green gives a reason.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from qsmengine.io.cells import guard
from qsmengine.pipeline.outputs.naming import Naming
from qsmengine.records import record

Light: TypeAlias = Literal["green", "amber", "red"]
Value: TypeAlias = float | str | None
LIGHTS: tuple[Light, ...] = ("green", "amber", "red")
"""Lights, the best first."""
MISSING = "n/a"
OWN = "own range, from virtual heads and the bundled data"
LIGHT, REASONS = "light", "reasons"
"""Columns that precede the measures."""


@record
class Range:
    """Closed interval of values; None is unbounded."""

    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the range."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        if self.low is None:
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"


@record
class Measure:
    """Quality measure.

    Parameters
    ----------
    name, unit
        Column of the table, and its unit ("1" for ratios, "" for text).
    label, description
        Short name on pages, and definition.
    value
        Evidence of the modality -> value; None if the data do not decide it.
    good, usable
        Ranges of green and of amber values; None for a measure without lights.
    fault
        Likely cause of a value outside its range.
    source
        Origin of the ranges: DOI or "own range".
    """

    name: str
    label: str
    unit: str
    description: str
    value: Callable[[Any], Value]
    good: Range | None = None
    usable: Range | None = None
    fault: str = ""
    source: str = OWN

    def light(self, value: Value) -> Light | None:
        """Return the light of a value; None for text, missing values and measures without ranges."""
        if self.good is None or not isinstance(value, float):
            return None
        if self.good.holds(value):
            return "green"
        return "amber" if self.usable is not None and self.usable.holds(value) else "red"

    def reason(self, value: Value) -> str:
        """Return why the light of a value is not green; "" if it is."""
        light = self.light(value)
        if light in {None, "green"}:
            return ""
        unit = "" if self.unit in {"", "1"} else f" {self.unit}"
        limit = self.good if light == "amber" or self.usable is None else self.usable
        return f"{self.label} {value:.3g}{unit} ({limit} expected): {self.fault}"

    @property
    def direction(self) -> str:
        """Description of the values that are better."""
        if self.good is None:
            return "informative"
        if self.good.low is None:
            return "lower is better"
        return "higher is better" if self.good.high is None else "inside the range is better"


def brain_volume(measured: Callable[[Any], float]) -> Measure:
    """Return the measure of the volume of the brain mask; `measured` returns it [mL] from the evidence.

    Adults have up to 2000 mL inside the skull; masks that leak through it measure 2400 mL and more. Small
    brains are not reported: the object may be an animal or a part of a head.
    """
    return Measure(
        "mask_volume", "volume of the mask", "mL", "Volume of the brain mask", measured,
        Range(high=2000), Range(high=2300), "a mask that holds scalp or neck (give one with --mask)",
    )  # fmt: skip


class Verdict(NamedTuple):
    """Worst light of some measures (None: none has one), and the reasons, red before amber."""

    light: Light | None
    reasons: tuple[str, ...]


def evaluate(measures: Sequence[Measure], evidence: Any) -> dict[str, Value]:
    """Return the value of every measure; None replaces numbers that are not finite."""
    return {measure.name: _finite(measure.value(evidence)) for measure in measures}


def _finite(value: Value) -> Value:
    if isinstance(value, str) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def judge(measures: Sequence[Measure], values: Mapping[str, Value]) -> Verdict:
    """Return the light of a session and its reasons."""
    found = [(measure.light(values.get(measure.name)), measure) for measure in measures]
    lights = [light for light, _ in found if light is not None]
    worst = max(lights, key=LIGHTS.index, default=None)
    reasons = [
        measure.reason(values.get(measure.name))
        for wanted in ("red", "amber")
        for light, measure in found
        if light == wanted
    ]
    return Verdict(worst, tuple(reasons))


def quality_files(naming: Naming, step: str) -> tuple[Path, Path]:
    """Return the quality table of a step, ``*_desc-quality_STEP.tsv``, and its dictionary."""
    entities = {"desc": "quality"}
    return naming.path(step, entities, ".tsv"), naming.path(step, entities, ".json")


def quality_texts(
    naming: Naming, step: str, measures: Sequence[Measure], values: Mapping[str, Value]
) -> dict[Path, str | Mapping[str, Any]]:
    """Return the content of the files of :func:`quality_files`."""
    table, dictionary = quality_files(naming, step)
    return {table: quality_table(measures, values), dictionary: quality_dictionary(measures)}


QUALITY_NOTE = "quality: "
"""Beginning of the notes of :func:`quality_notes`."""


def quality_notes(measures: Sequence[Measure], values: Mapping[str, Value]) -> list[str]:
    """Return a note on every measure that is not green."""
    return [f"{QUALITY_NOTE}{reason}" for reason in judge(measures, values).reasons]


def quality_table(measures: Sequence[Measure], values: Mapping[str, Value]) -> str:
    """Return the table of a session: one row with light, reasons, and a column per measure."""
    verdict = judge(measures, values)
    row = {LIGHT: verdict.light or MISSING, REASONS: "; ".join(verdict.reasons) or MISSING}
    row |= {measure.name: shown(values.get(measure.name)) for measure in measures}
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(row)
    writer.writerow([guard(text) for text in row.values()])
    return buffer.getvalue()


def shown(value: Value) -> str:
    """Return a value as the text of a table cell."""
    if value is None:
        return MISSING
    return value if isinstance(value, str) else f"{value:.6g}"


def quality_dictionary(measures: Sequence[Measure]) -> dict[str, Any]:
    """Return the data dictionary of the table: definition, unit, direction, ranges and their source."""
    columns: dict[str, Any] = {
        LIGHT: {
            "Description": "Worst light of the measures",
            "Levels": dict(zip(LIGHTS, _MEANING, strict=True)),
        },
        REASONS: {"Description": "Measures that are not green, red ones first"},
    }
    for measure in measures:
        entry = {"LongName": measure.label, "Description": measure.description}
        entry |= {"Units": measure.unit} if measure.unit else {}
        if measure.good is not None:
            entry |= {"Direction": measure.direction, "Green": str(measure.good)}
            entry |= {"Amber": str(measure.usable)} if measure.usable is not None else {}
            entry |= {"RangeSource": measure.source}
        columns[measure.name] = entry
    return columns


_MEANING = (
    "every measure is in its good range",
    "a measure is outside its good range",
    "a measure is unusable",
)


def near_layers(mask: np.ndarray, layers: int) -> np.ndarray:
    """Return the voxels of `mask` (x, y, z) within `layers` voxels of its rim, counted across faces."""
    inner = np.pad(mask, 1)
    for _ in range(layers):
        shrunk = inner.copy()
        for axis in range(3):
            shrunk &= np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
        inner = shrunk
    return np.asarray(mask & ~inner[1:-1, 1:-1, 1:-1])
