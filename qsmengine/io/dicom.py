"""Conversion of DICOM to NIfTI by dcm2niix, and removal of identifying information."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsmengine.errors import DeviceError, InputError
from qsmengine.io.atomic import Buffer, write_atomic
from qsmengine.io.enhanced import divide_enhanced
from qsmengine.io.sidecars import read_json
from qsmengine.io.voxel_bytes import BLOCK, compressed

_IDENTITY = re.compile(
    r"^Patient(?!Position$)|Physician|Operator|Institution|Address|Date|Birth|Comment|AccessionNumber"
    r"|StudyID|UID$|^(Acquisition|Study|Series|Content)Time$|Person|^BidsGuess$"
)
"""Sidecar fields that identify the patient, staff, site or date."""
_EVENED = re.compile(r"(.+)_Eq(?:_\d+)?")
_PROGRESS = re.compile(r"Convert \d+ DICOM as .*")
"""Progress message of dcm2niix, which sometimes shares a line with a warning."""
_TEXTS = ((4, 14), (14, 32), (148, 228), (228, 252), (328, 344))
"""Free-text fields of a NIfTI-1 header: data_type, db_name, descrip, aux_file, intent_name."""


@dataclass(frozen=True)
class Converted:
    """Image converted by dcm2niix: its file, the fields of its sidecar, and its gradient table if any.

    `uneven` states that its slices are not equidistant, which its NIfTI header cannot say.
    """

    image: Path
    fields: Mapping[str, Any]
    bval: Path | None = None
    bvec: Path | None = None
    uneven: bool = False

    @property
    def series_number(self) -> int:
        """Number of the DICOM series; 0 if unknown."""
        number = self.fields.get("SeriesNumber", 0)
        return int(number) if isinstance(number, int | float) else 0

    @property
    def description(self) -> str:
        """Series description entered at the scanner."""
        return str(self.fields.get("SeriesDescription") or self.fields.get("ProtocolName") or "no description")


def convert_dicom(folder: Path, scratch: Path) -> tuple[list[Converted], list[str]]:
    """Convert every DICOM series below `folder` into `scratch`; stored values are unchanged.

    Returns
    -------
    images, notes
        Images in the order of their series and names; warnings of dcm2niix.

    Raises
    ------
    DeviceError
        Without the extra ``qsmengine[dicom]``.
    InputError
        If there is nothing to convert, or dcm2niix fails; the message quotes its last output.
    """
    try:
        import dcm2niix
        import pydicom  # noqa: F401
    except ImportError:
        raise DeviceError("DICOM needs dcm2niix and pydicom: pip install 'qsmengine[dicom]'") from None
    if not folder.is_dir():
        raise InputError("no such folder", source=folder)
    scratch = scratch.resolve()
    folder, divided = divide_enhanced(folder.resolve(), scratch / "classic")
    command = [
        str(dcm2niix.bin), "-b", "y", "-ba", "n", "-z", "n", "-g", "i", "-d", "9", "-f", "%s",
        "-o", str(scratch), str(folder),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    images = sorted(scratch.glob("*.nii"))
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if not images:
        raise InputError(f"no DICOM image converted: {said[-1] if said else 'no output'}", source=folder)
    # dcm2niix writes a second, interpolated image next to one whose slices are not equidistant.
    evened = {image: match[1] for image in images if (match := _EVENED.fullmatch(image.stem))}
    converted = [
        _collect(image, uneven=image.stem in evened.values()) for image in images if image not in evened
    ]
    warned = (_PROGRESS.sub("", line) for line in said if line.lower().startswith(("warning", "error")))
    notes = [*divided, *(f"dcm2niix: {line}" for line in dict.fromkeys(warned))]
    if done.returncode:
        notes.append(f"dcm2niix ended with status {done.returncode}: some files may be missing")
    return sorted(converted, key=lambda one: (one.series_number, one.image.name)), notes


def _collect(image: Path, *, uneven: bool = False) -> Converted:
    sidecar, bval, bvec = (image.with_suffix(ending) for ending in (".json", ".bval", ".bvec"))
    fields = read_json(sidecar) if sidecar.is_file() else {}
    table = bval.is_file() and bvec.is_file()
    return Converted(image, fields, bval if table else None, bvec if table else None, uneven)


def without_identity(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sidecar fields that do not identify the patient, staff, site or date."""
    return {key: value for key, value in fields.items() if not _IDENTITY.search(key)}


def store_image(source: Path, target: Path, *, keep_identity: bool = False) -> None:
    """Compress a .nii of dcm2niix to `target` (.nii.gz, atomic) and blank the free text of its header.

    Voxels and geometry are preserved bit for bit. With `keep_identity` the text is preserved too.
    """

    def content() -> Iterator[Buffer]:
        with source.open("rb") as file:
            head = bytearray(file.read(348))
            if 348 not in {int.from_bytes(head[:4], order) for order in ("little", "big")}:
                raise InputError("expected a NIfTI-1 header", source=source)
            for start, stop in () if keep_identity else _TEXTS:
                head[start:stop] = bytes(stop - start)
            yield head
            while block := file.read(BLOCK):
                yield block

    write_atomic(target, compressed(content()))
