"""Session from files to files: open, plan, check the outputs, compute, write. A modality supplies the steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, on_device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsName
from qsmengine.io.masks import check_placement, load_mask
from qsmengine.modalities.modality import Opened, Task
from qsmengine.modalities.outputs import plan_outputs
from qsmengine.modalities.quality import Measure, evaluate, quality_files, quality_notes, quality_texts
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.maps import Described, Texts, product_files
from qsmengine.pipeline.outputs.naming import Naming
from qsmengine.pipeline.outputs.products import Product
from qsmengine.pipeline.outputs.staging import Writing
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record
from qsmengine.stages.object_size import sized_grid


@record
class Request:
    """Files and settings common to the sessions of all modalities.

    Parameters
    ----------
    images
        Images of the series.
    out
        Output folder.
    mask
        Brain mask; None: computed.
    force
        Replace earlier outputs.
    name
        BIDS name from which output names are derived; None: that of the images.
    writing
        Location of unfinished files, and whether provenance includes durations.
    """

    images: tuple[Path, ...]
    out: Path
    mask: Path | None = None
    force: bool = False
    name: str | None = None
    writing: Writing = field(default_factory=Writing)

    @property
    def extra(self) -> list[Path]:
        """Input files in addition to the images."""
        return [] if self.mask is None else [self.mask]


class OpenSeries(Protocol):
    """Series on disk with consistent headers and sidecars."""

    @property
    def grid(self) -> Grid:
        """Geometry."""

    @property
    def n_volumes(self) -> int:
        """Number of volumes."""

    @property
    def sources(self) -> tuple[Path, ...]:
        """Images and their sidecars."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Decisions."""


Brain: TypeAlias = tuple[npt.NDArray[np.bool_], list[str]]
"""Brain mask (x, y, z) and notes."""
R = TypeVar("R", bound=Request)
F = TypeVar("F", bound=OpenSeries)


@record
class Run(Generic[R, F]):
    """Session whose outputs have been checked: its files, settings, and `notes`, which its steps extend."""

    request: R
    file: F
    plan: Plan
    config: Config
    device: Device
    naming: Naming
    notes: list[str]
    progress: ProgressCallback | None = None

    def add(self, notes: Sequence[str]) -> None:
        """Add those notes that are new."""
        self.notes.extend(note for note in notes if note not in self.notes)

    def given_brain(self) -> Brain | None:
        """Read the brain mask (x, y, z) of the request, and return it with notes; None without one."""
        return None if self.request.mask is None else load_mask(self.request.mask, self.file.grid)

    def brain(
        self,
        find: Callable[[], tuple[Array, str]],
        image: Array,
        unknown: Array | None = None,
        given: Brain | None = None,
        part: tuple[slice, ...] | None = None,
    ) -> tuple[npt.NDArray[np.bool_], Grid]:
        """Return the brain mask (x, y, z), given or from `find`, and the grid with the brain's size.

        A given mask is compared with `image` (x, y, z), which covers `part` of the grid (None: all of it).
        Voxels in `unknown` (x, y, z) are not part of the mask. `given` is the result of :meth:`given_brain`.

        Raises
        ------
        InputError
            For a mask of the surroundings, see :func:`qsmengine.io.masks.check_placement`.
        """
        grid, given = self.file.grid, given or self.given_brain()
        if given is not None and self.request.mask is not None:
            mask, notes = given
            seen = mask if part is None else mask[part]
            notes = [*notes, *check_placement(seen, image, self.request.mask)]
        else:
            found, note = find()
            mask, notes = to_numpy(found), [note]
        self.notes.extend(notes)
        if unknown is not None:
            mask = mask & ~to_numpy(unknown)
        return mask, sized_grid(grid, {"mask": mask}, device=self.device)


@record
class Computed:
    """Maps of a session.

    Parameters
    ----------
    result
        Maps and their provenance.
    evidence
        Input of the modality's quality measures.
    facts
        Acquisition facts for the provenance that depend on the voxels.
    texts
        Tables and sidecars, relative to the output folder.
    """

    result: RunResult
    evidence: Any = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    texts: Texts = field(default_factory=dict)


def _no_tables(_: Naming) -> tuple[Path, ...]:
    return ()


def _no_roles(_: object, __: object) -> frozenset[str]:
    return frozenset()


def _no_acquisition(_: object) -> dict[str, Any]:
    return {}


@record
class Session(Generic[R, F]):
    """Steps of a modality's session.

    Parameters
    ----------
    step, datatype, products, measures
        As in :class:`qsmengine.modalities.modality.Modality`.
    request
        Task of a cohort -> request.
    open
        Reads headers and sidecars; no voxel.
    plan
        Configuration, grid, number of volumes, roles of the inputs -> plan.
    compute
        Reads the voxels and computes the maps.
    roles
        Request and opened series -> roles of the optional inputs.
    acquisition
        Opened series -> acquisition parameters, for provenance and for every sidecar.
    tables
        Names -> tables and sidecars that `compute` returns as texts.
    own
        Entities in which the images of a series differ.
    """

    step: str
    datatype: str
    products: tuple[Product, ...]
    request: Callable[[Task], R]
    open: Callable[[R], F]
    plan: Callable[[Config, Grid, int, frozenset[str]], Plan]
    compute: Callable[[Run[R, F]], Computed]
    measures: tuple[Measure, ...] = ()
    roles: Callable[[R, F], frozenset[str]] = _no_roles
    acquisition: Callable[[F], dict[str, Any]] = _no_acquisition
    tables: Callable[[Naming], tuple[Path, ...]] = _no_tables
    own: tuple[str, ...] = ("echo", "part")

    def reconstruct(
        self, task: Task, config: Config, device: Device, dry_run: bool, progress: ProgressCallback | None
    ) -> Outcome:
        """Run a task; with `dry_run`, only plan it."""
        return self.run(self.request(task), config, device, dry_run=dry_run, progress=progress)

    def files(self, plan: Plan, name: BidsName) -> list[Path]:
        """Return every file that a session writes, relative to its output folder."""
        naming = Naming(name, datatype=self.datatype)
        return [*product_files(plan, naming, self.products, self.step), *self._tables(naming)]

    @on_device
    def run(
        self,
        request: R,
        config: Config,
        device: Device,
        *,
        dry_run: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Outcome:
        """Compute the maps of a session, from files to BIDS derivatives.

        Raises
        ------
        UsageError
            Before any computation, if outputs exist (without force) or would overwrite inputs.
        InputError, DeviceError
            From the steps of the modality.
        """
        file = self.open(request)
        plan = self.plan(config, file.grid, file.n_volumes, self.roles(request, file))
        naming, sources = self._naming(request), [*file.sources, *request.extra]
        outputs = plan_outputs(
            plan, self.step, self.products, request.out, naming, sources, force=request.force, dry_run=dry_run,
            tables=self._tables(naming),
        )  # fmt: skip
        check_memory(plan, device)
        notes = [*file.notes, *plan.notes]
        if dry_run:
            return Outcome(plan, outputs.files, [*notes, *outputs.notes])
        run = Run(request, file, plan, config, device, naming, notes, progress)
        found = self.compute(run)
        acquisition = self.acquisition(file)
        quality = cache(partial(evaluate, self.measures, found.evidence))

        def measured() -> Texts:
            return quality_texts(naming, self.step, self.measures, quality()) if self.measures else {}

        facts = {**acquisition, **found.facts}
        described = Described(
            self.step, config, device, sources, notes, facts, acquisition, texts=found.texts, measured=measured
        )
        files = outputs.write(found.result, described, request.writing)
        run.add(found.result.notes)
        run.add(quality_notes(self.measures, quality()))
        return Outcome(plan, files, [*notes, *outputs.notes], found.result)

    def _tables(self, naming: Naming) -> tuple[Path, ...]:
        quality = quality_files(naming, self.step) if self.measures else ()
        return *self.tables(naming), *quality

    def _naming(self, request: R) -> Naming:
        """Return output names without the entities in which the images differ."""
        inputs = [Path(request.name)] if request.name else request.images
        naming = Naming.of(*inputs, datatype=self.datatype)
        if naming.source is None:
            return naming
        return replace(naming, source=naming.source.derivative(naming.source.suffix, drop=self.own))


def opened(read: Callable[[list[InputError]], F]) -> F | Opened:
    """Return the series that `read` opens, or its problems; `read` collects them in the list it is given."""
    found: list[InputError] = []
    try:
        return read(found)
    except InputError as error:
        return Opened(None, problems=tuple(str(problem) for problem in found or [error]))
