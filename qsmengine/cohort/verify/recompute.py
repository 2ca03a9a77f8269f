"""Recomputation of recorded reconstructions in a temporary folder, and comparison with the maps on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsmengine.backend.device import Device
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.plan.model import REGISTRATION, Step
from qsmengine.cohort.verify.compare import Difference, compare_maps
from qsmengine.cohort.verify.recorded import (
    check_inputs,
    configuration_of,
    labels_of,
    other_version,
    recorded_names,
    recorded_overrides,
    recorded_series,
)
from qsmengine.cohort.work.compute import run_step
from qsmengine.cohort.work.tasks import Place
from qsmengine.errors import InputError, QsmengineError, describe
from qsmengine.io.owned import private_folder
from qsmengine.io.sidecars import read_json
from qsmengine.ops.registration import available
from qsmengine.report.raw import raw_dataset
from qsmengine.report.records import ReconstructedSeries

BORROWS = "_space-"
"""Part of the names of maps whose images the session borrows from another one to register its series."""
TOLERANCE = 0.01
"""Default of the largest difference allowed, as a fraction of a map's spread or of its voxels."""


@dataclass(frozen=True)
class Verified:
    """Comparison of one reconstruction.

    Parameters
    ----------
    session, step
        Session, and name of the step.
    differences
        Largest difference of each map; empty if it could not be recomputed.
    problem
        Reason why it could not be recomputed or compared, naming file and field; "" if it could.
    note
        Version that made the maps, if it is not this one; "" if it is.
    """

    session: str
    step: str
    differences: tuple[Difference, ...] = ()
    problem: str = ""
    note: str = ""

    def above(self, tolerance: float) -> list[Difference]:
        """Return the maps whose difference exceeds `tolerance`."""
        return [one for one in self.differences if one.worst > tolerance]


@dataclass(frozen=True)
class Verification:
    """Choice of what is recomputed, and where.

    Parameters
    ----------
    out
        Folder of results, which is only read.
    device
        Device that recomputes.
    bids
        Raw dataset; None: the one that the results link to.
    participants, sessions
        Labels; None: all.
    derivatives
        Datasets with segmentations that the run was given in addition to those of the raw dataset.
    """

    out: Path
    device: Device
    bids: Path | None = None
    participants: Iterable[str] | None = None
    sessions: Iterable[str] | None = None
    derivatives: Sequence[Path] = ()

    def series(self) -> list[ReconstructedSeries]:
        """Return the reconstructions; raises the errors of :func:`recorded_series`."""
        return recorded_series(self.out, self.participants, self.sessions)

    def run(self, series: Iterable[ReconstructedSeries]) -> Iterator[Verified]:
        """Recompute reconstructions one by one; a problem of one does not stop the others.

        Every map is computed in a temporary folder, which is removed after the comparison.
        """
        for one in series:
            note = other_version(one)
            try:
                with private_folder("verify") as folder:
                    differences = self._recompute(one, folder)
            except (QsmengineError, OSError, MemoryError) as error:
                yield Verified(one.session, one.kind, problem=describe(error)[0], note=note)
            else:
                yield Verified(one.session, one.kind, differences, note=note)

    def _recompute(self, one: ReconstructedSeries, folder: Path) -> tuple[Difference, ...]:
        raw = check_inputs(one, self.bids or raw_dataset(self.out.resolve()))
        provenance = one.file(f"desc-{one.kind}_prov.json").relative_to(self.out)
        given, target = recorded_overrides(one.record), folder / "1"
        step, problem = self._step(one, raw, provenance, {})
        if step is not None:
            self._place(step, raw, target)
            _check_inputs(one, read_json(target / provenance))
        if step is None or recorded_overrides(read_json(target / provenance)) != given:
            step, _ = self._step(one, raw, provenance, given)
            if step is None:
                raise InputError(f"cannot be planned again: {problem}", source=self.out / provenance)
            target = folder / "2"
            self._place(step, raw, target)
        _check_record(one, read_json(target / provenance))
        return self._compare(target)

    def _step(
        self, one: ReconstructedSeries, raw: Path, provenance: Path, overrides: Mapping[str, Any]
    ) -> tuple[Step | None, str]:
        """Plan the session as its run did; return the step that writes this provenance file, or the reason."""
        _, config = configuration_of(one)
        borrowed = BORROWS in one.stem and available()
        kinds = [one.kind, *([REGISTRATION] if borrowed else [])]
        labels = labels_of(one)
        plan = plan_cohort(
            raw, self.out, config,
            participants=[labels["sub"]] if "sub" in labels else None,
            sessions=[labels["ses"]] if "ses" in labels else None,
            derivatives=self.derivatives, steps=kinds, **overrides,
        )  # fmt: skip
        steps = [step for session in plan.sessions for step in session.steps]
        step = next((step for step in steps if provenance.as_posix() in step.outputs), None)
        problems = [text for step in steps if step.kind == one.kind for text in step.problems]
        problems += [text for session in plan.sessions for text in session.problems]
        return step, "; ".join(problems) or "no series of the dataset leads to it"

    def _place(self, step: Step, raw: Path, target: Path) -> None:
        """Run a step with outputs below `target`."""
        target.mkdir()
        run_step(step, Place(raw, target, target / "work", self.device), {})

    def _compare(self, target: Path) -> tuple[Difference, ...]:
        images = sorted(path.relative_to(target) for path in target.rglob("*.nii.gz"))
        missing = [name for name in images if not (self.out / name).is_file()]
        if missing:
            raise InputError("map not found", source=self.out / missing[0])
        return tuple(compare_maps(self.out / name, target / name) for name in images)


def _check_inputs(one: ReconstructedSeries, again: Mapping[str, Any]) -> None:
    """Raise InputError if the new provenance names other inputs than the recorded one."""
    changed = recorded_names(again) ^ recorded_names(one.record)
    if changed:
        raise InputError(
            f"the session is now planned with other files: {', '.join(sorted(changed))}",
            source=one.file(f"desc-{one.kind}_prov.json"),
        )


def _check_record(one: ReconstructedSeries, again: Mapping[str, Any]) -> None:
    """Raise InputError if the new provenance names other inputs or settings than the recorded one."""
    _check_inputs(one, again)
    source = one.file(f"desc-{one.kind}_prov.json")
    if recorded_overrides(again) != recorded_overrides(one.record):
        raise InputError("echo times or field strength are not those that were used", source=source)
    if again.get("ConfigurationHash") != one.record.get("ConfigurationHash"):
        raise InputError("this version changes the configuration", source=source, field="Configuration")
