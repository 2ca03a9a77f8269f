"""Names of a session's outputs, derived from the names of its inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.io.bids import BidsName
from qsmengine.io.inheritance import image_stem
from qsmengine.records import record

_PART = re.compile(
    r"(?:part|echo|e|ph|pha|phase|mag|magn|magnitude|real|re|imag|imaginary|im|raw)-?(?:\d+|mag|phase|real|imag)?",
    re.IGNORECASE,
)


@record
class Naming:
    """Names of a session's outputs, derived from its first input.

    BIDS names with a subject lead to a dataset (``sub-X[/ses-Y]/anat/sub-X_..._Chimap.nii.gz``). For other
    names the common parts, without echo, magnitude and phase, become a prefix (``head_mag_1.nii.gz`` and
    ``head_mag_2.nii.gz`` -> ``head_Chimap.nii.gz``; ``magnitude_1.nii.gz`` and so on -> ``Chimap.nii.gz``).
    """

    source: BidsName | None
    prefix: str = ""
    datatype: str = "anat"

    @classmethod
    def of(cls, path: Path, *others: Path, datatype: str = "anat") -> Naming:
        """Return names after the input `path` and `others` of the same series; `datatype` is their folder."""
        try:
            name = BidsName.parse(path)
        except InputError:
            name = None
        alike = {"", _subject(path)}
        if name is not None and "sub" in name.entities and all(_subject(other) in alike for other in others):
            return cls(name, datatype=datatype)
        shared = [set(_tokens(other)) for other in others]
        return cls(None, "_".join(t for t in _tokens(path) if all(t in tokens for tokens in shared)))

    def path(self, suffix: str, entities: Mapping[str, str], extension: str = ".nii.gz") -> Path:
        """Return the file of a product, relative to the output folder."""
        if self.source is not None:
            name = self.source.derivative(suffix, extension=extension, **entities)
            return name.folder / self.datatype / name.filename
        product = BidsName(entities, suffix, extension).filename
        return Path(f"{self.prefix}_{product}" if self.prefix else product)


def _subject(path: Path) -> str:
    """Return the parts of a BIDS name that identify subject and session."""
    return "_".join(part for part in path.name.split("_") if part.startswith(("sub-", "ses-")))


def _tokens(path: Path) -> list[str]:
    """Return the parts of a file's name except echo, magnitude and phase and the numbers after these."""
    kept: list[str] = []
    after_part = False
    for token in re.split(r"[_.]", image_stem(path.name)):
        part = _PART.fullmatch(token) is not None
        if not part and not (after_part and token.isdigit()):
            kept.append(token)
        after_part = part
    return kept
