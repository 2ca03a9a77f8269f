"""Results of a run: maps, their origin and the duration of each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array
from qsmengine.errors import DeviceError
from qsmengine.grid import Grid, Vector3
from qsmengine.on_demand import later
from qsmengine.pipeline.run.frames import Compact, Maps, whole_image
from qsmengine.pipeline.run.plan import PlanStep
from qsmengine.records import record
from qsmengine.solvers.stopping import SolverStatus


@record
class Record:
    """Record of one step: its duration and, for iterative solvers, the reason for stopping."""

    step: PlanStep
    seconds: float
    solver: SolverStatus | None = None


@record
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

    def compact(self, name: str) -> Compact:
        """Return a map (part of x, y, z[, component]) with the part of the grid outside of which it is 0."""
        return self.maps.compact(name) if isinstance(self.maps, Maps) else whole_image(self.maps[name])

    def within_mask(self) -> Mapping[str, Array]:
        """Return the maps, on one common part of the grid that holds the brain mask."""
        return self.maps.within_mask() if isinstance(self.maps, Maps) else self.maps

    @property
    def mask_part(self) -> tuple[slice, ...]:
        """Part of the grid that the maps of :meth:`within_mask` cover."""
        if isinstance(self.maps, Maps):
            return self.maps.within_mask().covered
        return tuple(slice(0, n) for n in self.grid.shape)

    @property
    def seconds(self) -> float:
        """Total time of all steps [s]."""
        return sum(record.seconds for record in self.records)

    def record(self, section: str) -> Record | None:
        """Return the record of a section's step, None if it did not run."""
        return next((r for r in self.records if r.step.section == section), None)

    def plot(self, names: Sequence[str] | None = None, *, centre: Vector3 | None = None) -> Any:
        """Return a picture of the maps for a notebook: axial, coronal, sagittal, in the windows of the pages.

        Parameters
        ----------
        names
            Maps to show; None: those of a session's page.
        centre
            Point through which the slices pass [mm], scanner coordinates; None: the centre of the mask.

        Returns
        -------
        qsmengine.report.plot.Plot
            Shown by notebooks; ``figure`` is that of matplotlib, and ``save(path)`` writes a PNG.

        Raises
        ------
        UsageError
            For a name that is not among the maps, or is not an image (x, y, z).
        InputError
            If there is nothing to show, or the point lies outside the image.
        DeviceError
            When matplotlib is not installed.
        """
        try:
            draw = later("report.plot", "plot_maps")
        except ModuleNotFoundError as error:
            raise DeviceError(
                f"figures need {error.name}, which is not installed: pip install 'qsmengine[report]'"
            ) from None
        units = {name: self.units.get(name, "") for name in self.maps}
        return draw(units, lambda name: to_numpy(self.maps[name]), self.grid, names=names, centre=centre)
