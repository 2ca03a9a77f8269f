"""Acquisition protocols of a raw dataset against the recommendations of their modalities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qsmengine.cohort.select.dataset import Ignored, list_subjects, scan_subject
from qsmengine.cohort.select.series import group_series
from qsmengine.errors import InputError
from qsmengine.modalities.protocol import Check
from qsmengine.modalities.registry import modality_of


@dataclass
class Judged:
    """Series with equal results: title of the recommendation, results, or else the problem, and the series."""

    title: str
    checks: tuple[Check, ...]
    problem: str
    series: list[str]

    @property
    def red(self) -> bool:
        """Whether a check is red, or the series cannot be read."""
        return bool(self.problem) or any(check.light == "red" for check in self.checks)


def judge_protocols(root: str | Path) -> list[Judged]:
    """Return the results for every series with recommendations, equal ones together, the most frequent first.

    Raises
    ------
    UsageError
        If the dataset is not a folder or holds no subject.
    InputError
        If no series has recommendations.
    """
    root, found = Path(root), dict[tuple[str, tuple[Check, ...], str], Judged]()
    for judged in _judged(root):
        same = found.setdefault((judged.title, judged.checks, judged.problem), judged)
        if same is not judged:
            same.series += judged.series
    if not found:
        raise InputError("contains no series whose protocol has recommendations", source=root)
    return sorted(found.values(), key=lambda one: -len(one.series))


def _judged(root: Path) -> Iterator[Judged]:
    ignored = Ignored.of(root)
    for subject in list_subjects(root)[0]:
        for session in scan_subject(root, subject, ignored):
            for series in group_series(session)[0]:
                modality = modality_of(series.kind)
                wanted = None if modality is None else modality.recommendation
                if wanted is None:
                    continue
                parts = {role: [root / path for path in paths] for role, paths in series.parts.items()}
                checks, problem = list[Check](), ""
                try:
                    checks = wanted.check(wanted.facts(parts))
                except InputError as error:
                    problem = str(error)
                yield Judged(wanted.title, tuple(checks), problem, [series.name.filename])
