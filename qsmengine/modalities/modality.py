"""The description of a modality: its images, its session, its files and what a report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from qsmengine.backend.device import Device
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.io.inheritance import Folders
from qsmengine.modalities.series import Series
from qsmengine.pipeline.configuration.config import Config
from qsmengine.pipeline.outputs.products import Product
from qsmengine.pipeline.outputs.staging import Writing
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan
from qsmengine.pipeline.run.progress import ProgressCallback


@dataclass(frozen=True)
class Opening:
    """How a series is opened: the configuration, overrides of the sidecars, and listings for inheritance.

    Parameters
    ----------
    config
        Of the run.
    echo_times, field_strength
        [s], [T]; None takes the sidecars'.
    folders
        Shared by the series of a dataset.
    """

    config: Config
    echo_times: tuple[float, ...] | None = None
    field_strength: float | None = None
    folders: Folders = field(default_factory=Folders)


@dataclass(frozen=True)
class Opened:
    """What headers, sidecars and tables say of a series; no voxel is read.

    Parameters
    ----------
    grid
        Geometry; None where the series cannot be used.
    volumes
        Echoes or weightings.
    inputs
        Role -> further files that the step reads (tables).
    notes
        Decisions.
    problems
        Why the series cannot be used: one readable line each.
    """

    grid: Grid | None
    volumes: int = 0
    inputs: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A session to run.

    Parameters
    ----------
    files
        Role -> files.
    out
        Folder of the derivatives.
    name
        BIDS name that the outputs are named after.
    options
        Overrides: "echo_times" [s], "field_strength" [T].
    force
        Replace earlier outputs.
    max_memory
        Bytes that it may take; None for what is available.
    writing
        How outputs are written.
    """

    files: Mapping[str, tuple[Path, ...]]
    out: Path
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False
    max_memory: int | None = None
    writing: Writing = field(default_factory=Writing)

    def one(self, role: str) -> Path | None:
        """Return the first file of a role, None where there is none."""
        return self.files[role][0] if self.files.get(role) else None


@dataclass(frozen=True)
class Row:
    """A row of pictures on a session's page.

    Parameters
    ----------
    files
        Ending of the map's file, a glob pattern.
    label, style
        What it is called, and the key of its style in :mod:`qsmengine.report.panels`.
    window
        Limits in place of the style's.
    half_ppm
        Half width of the window [ppm of B0], for maps in Hz.
    mask, vectors
        Patterns of the mask that cuts the picture out, and of the directions that colour it.
    """

    files: str
    label: str
    style: str
    window: tuple[float, float] | None = None
    half_ppm: float | None = None
    mask: str = ""
    vectors: str = ""


Parts: TypeAlias = Mapping[str, Sequence[Path]]
Reconstruct: TypeAlias = Callable[[Task, Config, Device, bool, ProgressCallback | None], Outcome]


def _nothing(_: Mapping[str, object]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Modality:
    """Everything that cohorts, reports and region tables need to know of a modality.

    Parameters
    ----------
    name
        Of the modality and its folder.
    step
        Name of its step in plans, ledgers, ``--steps`` and provenance files.
    title, data
        Heading of reports, and what a methods section calls its images.
    absent
        Why a session has no such step.
    datatype
        BIDS folder of its derivatives.
    suffixes
        Suffixes of its raw images.
    queries
        Query of a BIDS filter file -> the suffixes that it concerns.
    group
        Images of one session with these suffixes -> series, and notes on images that belong to none.
    open
        Parts (role -> files) of a series -> what its headers say; raises UsageError where a part is missing.
    plan
        Configuration, grid, number of volumes, roles of the inputs -> plan.
    files
        Plan and the series' name -> every file that is written, relative to the output folder.
    reconstruct
        Runs a task; with the flag it only plans it.
    products
        Maps that it writes.
    rows
        Pictures of a session's page.
    beside
        Settings -> roles of images of derivatives that they ask for ("labels", "r2").
    in_slabs
        Whether `reconstruct` divides a series that exceeds the task's memory.
    sentences
        ``STAGE/METHOD`` -> text for methods sections, beside those of :mod:`qsmengine.report`.
    """

    name: str
    step: str
    title: str
    data: str
    absent: str
    datatype: str
    suffixes: tuple[str, ...]
    group: Callable[[Sequence[BidsFile]], tuple[list[Series], list[str]]]
    open: Callable[[Parts, Opening], Opened]
    plan: Callable[[Config, Grid, int, frozenset[str]], Plan]
    files: Callable[[Plan, BidsName], list[Path]]
    reconstruct: Reconstruct
    products: tuple[Product, ...]
    rows: tuple[Row, ...] = ()
    queries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    beside: Callable[[Mapping[str, object]], tuple[str, ...]] = _nothing
    in_slabs: bool = False
    sentences: Mapping[str, Any] = field(default_factory=dict)
