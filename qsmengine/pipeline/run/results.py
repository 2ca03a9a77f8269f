"""What a run gives back: maps, how they came about, how long each step took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.pipeline.run.plan import Step
from qsmengine.solvers.status import SolverStatus


@dataclass(frozen=True)
class Record:
    """What one step did: its seconds, and for iterative solvers how they stopped."""

    step: Step
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


class QsmResult(RunResult):
    """Maps of a QSM run.

    `maps` holds ``chi`` [ppm], ``local_field``, ``total_field`` and ``noise`` [ppm], ``r2star`` [1/s],
    ``t2star`` [s], ``s0``, ``quality``, and the masks ``brain_mask`` and ``local_mask`` (where the local field
    and chi are defined); relaxometry only for two echoes or more. Where the configuration names their methods
    also ``chi_sd`` [ppm], ``swi``, ``minip``, ``chi_positive``, ``chi_negative``, ``chi_total`` [ppm].
    """

    @property
    def chi(self) -> Array:
        """Susceptibility (x, y, z) [ppm] after referencing."""
        return self.maps["chi"]

    @property
    def local_field(self) -> Array:
        """Local field (x, y, z) [ppm]."""
        return self.maps["local_field"]

    @property
    def total_field(self) -> Array:
        """Total field (x, y, z) [ppm]."""
        return self.maps["total_field"]

    @property
    def mask(self) -> Array:
        """Voxels (x, y, z) where chi is defined."""
        return self.maps["local_mask"]


class TensorMaps(RunResult):
    """Maps of a tensor fit under the names of the method's outputs (``fa``, ``md``, ``v1``, ...)."""
