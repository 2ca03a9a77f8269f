"""Nuclei of an atlas on the grid of a susceptibility map: the files of a step ``atlas``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from qsmengine.io.bids import BidsName
from qsmengine.modalities.placed import Names
from qsmengine.pipeline.outputs.maps import sidecar_of
from qsmengine.records import record

TEMPLATE = "MNI152NLin2009cAsym"
MAP = "chi"
"""Map that a series needs for the step."""


@record
class AtlasNames:
    """Files of a step, relative to the output folder.

    Parameters
    ----------
    series
        BIDS name of the maps, without the entities in which they differ.
    folder
        Folder of the files.
    space
        Name of the grid: that of the modality.
    atlases
        Names of the atlases.
    """

    series: BidsName
    folder: Path
    space: str
    atlases: tuple[str, ...]

    @classmethod
    def of(cls, maps: str, raw: str, space: str, atlases: Sequence[str]) -> AtlasNames:
        """Return the files of a series from one of its maps, its raw images, its space, and the atlases."""
        names = Names.of(maps, raw, space)
        return cls(names.series, names.folder, space, tuple(atlases))

    def _path(self, suffix: str, extension: str, **entities: str) -> Path:
        return self.folder / self.series.derivative(suffix, drop=(), extension=extension, **entities).filename

    def _transform(self, source: str, target: str, extension: str) -> Path:
        return self._path("xfm", extension, **{"from": source, "to": target, "mode": "image"})

    @property
    def matrix(self) -> Path:
        """Matrix from points of the map to the template, as a text file of ITK; applied after the warp."""
        return self._transform(TEMPLATE, self.space, ".txt")

    @property
    def warp(self) -> Path:
        """Displacement field of ITK that resamples the template onto the map."""
        return self._transform(TEMPLATE, self.space, ".nii.gz")

    @property
    def inverse_warp(self) -> Path:
        """Displacement field of ITK of the way back."""
        return self._transform(self.space, TEMPLATE, ".nii.gz")

    @property
    def agreement(self) -> Path:
        """Table of the overlap of atlas and network."""
        return self._path("agreement", ".tsv", desc="atlas")

    @property
    def provenance(self) -> Path:
        """Overlap, transform, inputs, and software."""
        return self._path("prov", ".json", desc="atlas")

    def labels(self, atlas: str) -> Path:
        """Nucleus that covers most of each voxel."""
        return self._path("dseg", ".nii.gz", seg=atlas.replace("-", ""))

    def label_table(self, atlas: str) -> Path:
        """Names of the labels."""
        return self._path("dseg", ".tsv", seg=atlas.replace("-", ""))

    def regions(self, atlas: str) -> Path:
        """Region table of the maps."""
        return self._path("stats", ".tsv", seg=atlas.replace("-", ""), desc="dgm")

    def __iter__(self) -> Iterator[Path]:
        """Yield every file."""
        yield from (self.matrix, self.warp, self.inverse_warp)
        for atlas in self.atlases:
            image = self.labels(atlas)
            yield from (image, sidecar_of(image), self.label_table(atlas))
            yield from (self.regions(atlas), self.regions(atlas).with_suffix(".json"))
        yield from (self.agreement, sidecar_of(self.agreement), self.provenance)
