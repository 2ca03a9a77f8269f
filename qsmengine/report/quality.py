"""Quality tables of sessions on disk, judged by the measures that their modality declares."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.modalities.quality import LIGHTS, Light, Measure, Value, Verdict, judge
from qsmengine.modalities.registry import modality_of
from qsmengine.report.covariates import Covariates
from qsmengine.report.distribution import Distribution, spread_of
from qsmengine.report.records import session_key
from qsmengine.report.tsv import read_rows

_NAME = re.compile(r"(?:(?P<stem>.+)_)?desc-quality_(?P<step>[0-9A-Za-z]+)\.tsv")


@dataclass(frozen=True)
class SeriesQuality:
    """Quality measures of one reconstruction.

    Parameters
    ----------
    path, session, stem, step
        Its table, session, common prefix of its files, and name of its step.
    values
        Measure -> value; None where the table has n/a or the measure is unknown.
    """

    path: Path
    session: str
    stem: str
    step: str
    values: Mapping[str, Value]

    @property
    def variant(self) -> str:
        """Prefix without subject and session, such as ``acq-fine_run-1``; empty for most."""
        return self.stem.removeprefix(self.session).lstrip("_")

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Measures of the modality; none for an unknown step."""
        modality = modality_of(self.step)
        return () if modality is None else modality.measures

    @cached_property
    def verdict(self) -> Verdict:
        """Light and reasons."""
        return judge(self.measures, self.values)


def find_quality(out: str | Path) -> list[SeriesQuality]:
    """Return the quality of every reconstruction below a folder, sorted by path.

    Raises
    ------
    InputError
        For a table that cannot be read or has no row.
    """
    return [read_quality(path) for path in sorted(_tables(Path(out)))]


def _tables(out: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(out):
        folders[:] = [f for f in folders if f.startswith("sub-") or root != str(out)]
        yield from (Path(root, name) for name in names if _NAME.fullmatch(name))


def quality_beside(folder: Path, stem: str, step: str) -> SeriesQuality | None:
    """Return the quality of a reconstruction by its folder, prefix and step; None without a table.

    Raises
    ------
    InputError
        As :func:`read_quality`.
    """
    name = f"desc-quality_{step}.tsv"
    path = folder / (f"{stem}_{name}" if stem else name)
    return read_quality(path) if path.is_file() else None


def read_quality(path: Path) -> SeriesQuality:
    """Read a quality table.

    Raises
    ------
    InputError
        For a table that cannot be read or has no row, and for another name.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise InputError("not the name of a quality table", source=path)
    rows = read_rows(path)
    if not rows:
        raise InputError("has no row", source=path)
    stem, step = match["stem"] or "", match["step"]
    modality = modality_of(step)
    measures = () if modality is None else modality.measures
    values = {measure.name: _value(measure, rows[0].get(measure.name, "")) for measure in measures}
    return SeriesQuality(path, session_key(stem), stem, step, values)


def _value(measure: Measure, text: str) -> Value:
    if text in {"", "n/a"}:
        return None
    if not measure.unit:
        return text
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def quality_distributions(
    found: Sequence[SeriesQuality], covariates: Covariates | None = None
) -> list[Distribution]:
    """Return the distribution of every numeric measure over the sessions.

    Modalities, acquisitions and runs are separate distributions.
    """
    kinds = {(one.step, one.variant): one for one in found}
    made = []
    for (step, variant), first in sorted(kinds.items()):
        own = [one for one in found if (one.step, one.variant) == (step, variant)]
        spreads = []
        for measure in first.measures:
            values = {
                one.session: value for one in own if isinstance(value := one.values.get(measure.name), float)
            }
            if values:
                good = None if measure.good is None else (measure.good.low, measure.good.high)
                spreads.append(spread_of(measure.label, values, covariates, good))
        modality = modality_of(step)
        title = step if modality is None else modality.title
        made.append(Distribution(title, "", tuple(spreads), variant))
    return made


def worst_light(found: Sequence[SeriesQuality]) -> Light | None:
    """Return the worst light of some reconstructions; None if none has one."""
    lights = [one.verdict.light for one in found if one.verdict.light is not None]
    return max(lights, key=LIGHTS.index, default=None)
