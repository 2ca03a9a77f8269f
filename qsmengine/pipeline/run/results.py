"""Results of a run: maps, their origin and the duration of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.pipeline.run.plan import PlanStep
from qsmengine.solvers.stopping import SolverStatus


@dataclass(frozen=True)
class Record:
    """Record of one step: its duration and, for iterative solvers, the reason for stopping."""

    step: PlanStep
    seconds: float
    solver: SolverStatus | None = None


@dataclass(frozen=True)
class RunResult:
    """Maps of a run and their origin.

    Parameters
    ----------
    maps
        Name -> array (x, y, z[, component]) on `grid`, in the unit of `units`.
    units
        Name -> unit.
    grid
        Geometry.
    records
        Records of the steps, in order.
    facts
        Numbers that a step reports in addition to its images, such as the subtracted reference value.
    notes
        Decisions and skipped steps.
    """

    maps: Mapping[str, Array]
    units: Mapping[str, str]
    grid: Grid
    records: tuple[Record, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Array:
        """Return the map called `name`."""
        return self.maps[name]

    @property
    def seconds(self) -> float:
        """Total time of all steps [s]."""
        return sum(record.seconds for record in self.records)

    def record(self, section: str) -> Record | None:
        """Return the record of a section's step, None if it did not run."""
        return next((r for r in self.records if r.step.section == section), None)
