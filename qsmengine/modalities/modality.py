"""Description of a modality: its images, session, files and report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qsmengine.backend.device import Device
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.io.inheritance import Folders
from qsmengine.modalities.dicom import DicomSeries
from qsmengine.modalities.placed import Reference, Structures
from qsmengine.modalities.protocol import Recommendation
from qsmengine.modalities.quality import Measure
from qsmengine.modalities.raw import Pictures
from qsmengine.modalities.series import Series
from qsmengine.modalities.style import Curve, Style, VolumeChart
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.products import Product
from qsmengine.pipeline.outputs.staging import Writing
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.records import record

if TYPE_CHECKING:
    from qsmengine.phantom.drawing import Drawing
    from qsmengine.phantom.head import VirtualHead


@record
class Opening:
    """Settings for opening a series: configuration, overrides of the sidecars, and folder listings.

    Parameters
    ----------
    config
        Configuration of the run.
    echo_times, field_strength
        [s], [T]; None: from the sidecars.
    folders
        Listings shared by the series of a dataset.
    """

    config: Config
    echo_times: tuple[float, ...] | None = None
    field_strength: float | None = None
    folders: Folders = field(default_factory=Folders)


@record
class Opened:
    """Description of a series from headers, sidecars and tables; no voxel is read.

    Parameters
    ----------
    grid
        Geometry; None if the series cannot be used.
    volumes
        Number of echoes or weightings.
    inputs
        Role -> further files that the step reads (tables).
    notes
        Decisions.
    problems
        Reasons why the series cannot be used, one readable line each.
    unused
        Roles of the series' files that the step does not read.
    """

    grid: Grid | None
    volumes: int = 0
    inputs: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


@record
class Task:
    """Session to run.

    Parameters
    ----------
    files
        Role -> files.
    out
        Folder of the derivatives.
    name
        BIDS name from which output names are derived.
    options
        Overrides: "echo_times" [s], "field_strength" [T].
    force
        Replace earlier outputs.
    max_memory
        Memory limit [bytes]; None: available memory.
    writing
        Settings for writing outputs.
    """

    files: Mapping[str, tuple[Path, ...]]
    out: Path
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False
    max_memory: int | None = None
    writing: Writing = field(default_factory=Writing)

    def one(self, role: str) -> Path | None:
        """Return the first file of a role, None if there is none."""
        return self.files[role][0] if self.files.get(role) else None

    def all(self, *roles: str) -> tuple[Path, ...]:
        """Return the files of some roles, in this order."""
        return tuple(path for role in roles for path in self.files.get(role, ()))


Layout: TypeAlias = Literal["planes", "largest", "smallest", "lightbox"]
SLAB_MM = 16.0
"""Thickness of the slab of projections [mm]."""


@record
class Row:
    """Row of pictures on a session's page.

    Parameters
    ----------
    files
        Ending of the map's file, a glob pattern.
    label, style
        Label, and style: one of the modality, or a key of those in :mod:`qsmengine.report.panels`.
    window
        Limits that replace those of the style.
    half_ppm
        Half width of the window [ppm of B0], for maps in Hz.
    caption
        Sentence under the picture: what is shown, and what a good one looks like.
    mask, vectors
        Patterns of the mask that crops the picture, and of the directions that colour it.
    measures
        Names of the quality measures that belong to the picture.
    layout
        Three planes through the middle; the largest or smallest values of slabs of `SLAB_MM` around them; or a
        lightbox of axial slices.
    outlines
        Pattern of a label image or mask whose outlines appear and disappear over the map.
    flicker, flicker_label
        Pattern of an image on the map's grid that changes places with the map, and what it shows.
    """

    files: str
    label: str
    style: str | Style
    window: tuple[float, float] | None = None
    half_ppm: float | None = None
    mask: str = ""
    vectors: str = ""
    caption: str = ""
    measures: tuple[str, ...] = ()
    layout: Layout = "planes"
    outlines: str = ""
    flicker: str = ""
    flicker_label: str = ""


Parts: TypeAlias = Mapping[str, Sequence[Path]]
Reconstruct: TypeAlias = Callable[[Task, Config, Device, bool, ProgressCallback | None], Outcome]
WarmUp: TypeAlias = "Callable[[VirtualHead, Device], Mapping[str, Callable[[], object]]]"


def _nothing(_: Mapping[str, object]) -> tuple[str, ...]:
    return ()


def _silent(_: Sequence[Mapping[str, object]]) -> str:
    return ""


@record
class Modality:
    """Description of a modality for cohorts, reports and region tables.

    Parameters
    ----------
    name
        Name of the modality and its folder.
    step
        Name of its step in plans, ledgers, ``--steps`` and provenance files.
    title, data
        Heading of reports, and name of its images in a methods section.
    absent
        Reason why a session has no such step.
    datatype
        BIDS folder of its derivatives.
    suffixes
        Suffixes of its raw images.
    queries
        Query of a BIDS filter file -> suffixes that it applies to.
    group
        Images of one session with these suffixes -> series, and notes on images that belong to none.
    open
        Parts (role -> files) of a series -> its description; raises UsageError if a part is missing.
    sections
        Sections of the configuration that it depends on. Sessions get no others, so that settings of one
        modality leave the results of another as they are.
    role_sections
        Role of an input -> sections that only steps with such an input depend on.
    plan
        Configuration, grid, number of volumes, roles of the inputs -> plan.
    files
        Plan and name of the series -> every output file, relative to the output folder.
    reconstruct
        Runs a task; with the flag, only plans it.
    products
        Maps that it writes.
    rows, curves, charts
        Pictures, curves and charts of volumes of a session's page.
    pictures
        Pictures made from the raw images where these are still there; None: none.
    measures
        Quality measures of a session.
    outside_bids
        Those of its suffixes that BIDS does not define. Datasets list them in ``.bidsignore`` for the
        validator, which does not exclude these images.
    ignored
        Patterns of those of its maps that BIDS does not define, for the ``.bidsignore`` of derivative datasets.
    extra_roles
        Settings -> roles of derivative images that they require ("labels", "r2").
    optional_roles
        Roles of derivative images that are used where a session has one on the grid of its series ("lesions").
    companions
        Role -> suffix of raw images that a series uses where its session, or the subject, has one ("flair").
    reference
        Image of a series that is registered with the session's T1-weighted image; None: it is not registered.
    structures
        Structures that its step segments; None: none.
    in_slabs
        Whether `reconstruct` divides a series that exceeds the task's memory.
    sentences
        ``STAGE/METHOD`` -> text for methods sections, in addition to those of :mod:`qsmengine.report`.
    references
        DOI -> authors and year, for sources that :mod:`qsmengine.report` does not know.
    protocol
        Acquisition facts of a provenance file -> phrases of a methods section ("2 echoes at 4 to 20 ms").
    judged
        Provenance files of alike series -> sentence of a methods section on what was found in their images; ""
        for none.
    recommendation
        Recommendation for its acquisition; None: none.
    dicom
        Recognition of its series in an import; None: they are not imported.
    drawing
        How virtual heads and cohorts draw its images; None: they cannot.
    warm_up
        Virtual head with its images, device -> small runs by name that compile the kernels of its stages.
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
    sections: tuple[str, ...]
    plan: Callable[[Config, Grid, int, frozenset[str]], Plan]
    files: Callable[[Plan, BidsName], list[Path]]
    reconstruct: Reconstruct
    products: tuple[Product, ...]
    rows: tuple[Row, ...] = ()
    curves: tuple[Curve, ...] = ()
    charts: tuple[VolumeChart, ...] = ()
    pictures: Pictures | None = None
    measures: tuple[Measure, ...] = ()
    outside_bids: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    queries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra_roles: Callable[[Mapping[str, object]], tuple[str, ...]] = _nothing
    optional_roles: tuple[str, ...] = ()
    companions: Mapping[str, str] = field(default_factory=dict)
    reference: Reference | None = None
    structures: Structures | None = None
    in_slabs: bool = False
    sentences: Mapping[str, Any] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    protocol: Callable[[Mapping[str, Any]], tuple[str, ...]] = _nothing
    judged: Callable[[Sequence[Mapping[str, Any]]], str] = _silent
    recommendation: Recommendation | None = None
    dicom: DicomSeries | None = None
    drawing: Drawing | None = None
    warm_up: WarmUp | None = None
    role_sections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def sections_with(self, roles: Collection[str]) -> tuple[str, ...]:
        """Return the sections of the configuration that a step with inputs of these roles depends on."""
        more = (section for role in roles for section in self.role_sections.get(role, ()))
        return tuple(dict.fromkeys((*self.sections, *more)))
