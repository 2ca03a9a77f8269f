"""What a run gives back: maps, how they came about, how long each step took."""

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
    """What one step did: its seconds, and for iterative solvers how they stopped."""

    step: PlanStep
    seconds: float
    solver: SolverStatus | None = None


@dataclass(frozen=True)
class RunResult:
    """Maps of a run and how they came about.

    Parameters
    ----------
    maps
        Name -> array (x, y, z[, component]) on `grid`, in the unit of `units`.
    units
        Name -> unit.
    grid
        Geometry.
    records
        Steps in the order they ran.
    facts
        Numbers a step reports beside its images, such as the value the reference subtracted.
    notes
        What was decided or left out.
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
        """Time of all steps."""
        return sum(record.seconds for record in self.records)

    def record(self, section: str) -> Record | None:
        """Record of a section's step, None where it did not run."""
        return next((r for r in self.records if r.step.section == section), None)
