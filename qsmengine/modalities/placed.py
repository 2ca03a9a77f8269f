"""Registration of series with a session's structures: what modalities contribute, and the files it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from qsmengine.io.bids import BidsName
from qsmengine.pipeline.outputs.maps import sidecar_of
from qsmengine.records import record

if TYPE_CHECKING:
    from qsmengine.data import Map
    from qsmengine.modalities.modality import Task
    from qsmengine.pipeline.configuration.model import Config

Read: TypeAlias = "Callable[[Task, Config], Map]"


@record
class Reference:
    """Image of a series that shows its head, on the grid of its maps.

    Parameters
    ----------
    read
        Task and configuration -> image (x, y, z), any unit.
    description
        What it is: "first echo".
    roles
        Roles of files of which the series needs one; empty: none in particular.
    """

    read: Read
    description: str
    roles: tuple[str, ...] = ()


@record
class Structures:
    """Files of a modality that segments structures, by their endings.

    Parameters
    ----------
    image
        Brain that is registered with other series.
    labels
        Labels of the structures on the grid of `image`.
    table
        Table of the labels: index, volume [mm^3], reliable (1 or 0), and reasons.
    lut
        Built-in table that names the labels.
    """

    image: str
    labels: str
    table: str
    lut: str


FOLDER = "anat"
"""BIDS folder of what comes from a T1-weighted image, whatever the grid."""
DIFFERENT = ("echo", "part", "desc", "label", "model", "param")
"""Entities in which the maps of one series differ."""


@record
class Names:
    """Files of a registration, relative to the output folder.

    Parameters
    ----------
    series
        BIDS name of the maps of the series, without the entities in which they differ.
    folder
        Folder of the files.
    space
        Name of the grid: that of the modality.
    """

    series: BidsName
    folder: Path
    space: str

    @classmethod
    def of(cls, maps: str, raw: str, space: str) -> Names:
        """Return the files of a series from the path of one of its maps and the name of its raw images."""
        entities = {k: v for k, v in BidsName.parse(maps).entities.items() if k not in DIFFERENT}
        return cls(BidsName(entities, BidsName.parse(raw).suffix), Path(maps).parent.parent / FOLDER, space)

    def _path(self, suffix: str, extension: str, **entities: str) -> Path:
        name = self.series.derivative(suffix, drop=(), extension=extension, **entities)
        return self.folder / name.filename

    @property
    def transform(self) -> Path:
        """Matrix as a text file of ITK."""
        ends = {"from": "T1w", "to": self.space, "mode": "image"}
        return self._path("xfm", ".txt", **ends)

    @property
    def reference(self) -> Path:
        """Image of the series."""
        return self._path(self.series.suffix, ".nii.gz", space=self.space, desc="reference")

    @property
    def moved(self) -> Path:
        """Brain of the T1-weighted image on the grid of the series."""
        return self._path("T1w", ".nii.gz", space=self.space, desc="brain")

    @property
    def labels(self) -> Path:
        """Label that covers most of each voxel."""
        return self._path("dseg", ".nii.gz", space=self.space, desc="dgm")

    @property
    def table(self) -> Path:
        """Table of the labels."""
        return self._path("dseg", ".tsv", space=self.space, desc="dgm")

    @property
    def provenance(self) -> Path:
        """Check, transform, inputs, and software."""
        return self._path("prov", ".json", space=self.space, desc="registration")

    def __iter__(self) -> Iterator[Path]:
        """Yield every file."""
        images = self.moved, self.labels
        yield from (self.transform, self.reference, *images, *map(sidecar_of, images), self.table)
        yield self.provenance
