"""DICOM to NIfTI through the program dcm2niix, and the removal of what names the patient."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsmengine.errors import DeviceError, InputError
from qsmengine.io.atomic import Buffer, write_atomic
from qsmengine.io.nifti import BLOCK, compressed
from qsmengine.io.sidecars import read_json

_IDENTITY = re.compile(
    r"^Patient(?!Position$)|Physician|Operator|Institution|Address|Date|Birth|Comment|AccessionNumber"
    r"|StudyID|UID$|^(Acquisition|Study|Series|Content)Time$|Person|^BidsGuess$"
)
"""Fields of a sidecar that name the patient, people around, the place or the day."""
_PROGRESS = re.compile(r"Convert \d+ DICOM as .*")
"""What dcm2niix says of its work, sometimes on the line of a warning."""
_TEXTS = ((4, 14), (14, 32), (148, 228), (228, 252), (328, 344))
"""Free text of a NIfTI-1 header: data_type, db_name, descrip, aux_file, intent_name."""


@dataclass(frozen=True)
class Converted:
    """An image that dcm2niix made: its file, its sidecar's fields, its gradient table where it has one."""

    image: Path
    fields: Mapping[str, Any]
    bval: Path | None = None
    bvec: Path | None = None

    @property
    def series_number(self) -> int:
        """Number of the DICOM series; 0 where it is not told."""
        number = self.fields.get("SeriesNumber", 0)
        return int(number) if isinstance(number, int | float) else 0

    @property
    def description(self) -> str:
        """The series in the scanner's words."""
        return str(self.fields.get("SeriesDescription") or self.fields.get("ProtocolName") or "no description")


def convert_dicom(folder: Path, scratch: Path) -> tuple[list[Converted], list[str]]:
    """Convert every DICOM series below `folder` into `scratch`; the stored values are kept.

    Returns
    -------
    images, notes
        In the order of their series and names; what dcm2niix warned of.

    Raises
    ------
    DeviceError
        Without the extra ``qsmengine[dicom]``.
    InputError
        Where there is nothing to convert, or dcm2niix fails; the message has what it said last.
    """
    try:
        import dcm2niix
    except ImportError:
        raise DeviceError("DICOM needs dcm2niix: pip install 'qsmengine[dicom]'") from None
    if not folder.is_dir():
        raise InputError("no such folder", source=folder)
    command = [
        str(dcm2niix.bin), "-b", "y", "-ba", "n", "-z", "n", "-g", "i", "-d", "9", "-f", "%s",
        "-o", str(scratch.resolve()), str(folder.resolve()),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    images = sorted(scratch.glob("*.nii"))
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if not images:
        raise InputError(f"no DICOM image converted: {said[-1] if said else 'no word'}", source=folder)
    converted = [_collect(image) for image in images]
    warned = (_PROGRESS.sub("", line) for line in said if line.lower().startswith(("warning", "error")))
    notes = [f"dcm2niix: {line}" for line in dict.fromkeys(warned)]
    if done.returncode:
        notes.append(f"dcm2niix ended with status {done.returncode}: some files may be missing")
    return sorted(converted, key=lambda one: (one.series_number, one.image.name)), notes


def _collect(image: Path) -> Converted:
    sidecar, bval, bvec = (image.with_suffix(ending) for ending in (".json", ".bval", ".bvec"))
    fields = read_json(sidecar) if sidecar.is_file() else {}
    table = bval.is_file() and bvec.is_file()
    return Converted(image, fields, bval if table else None, bvec if table else None)


def without_identity(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a sidecar that do not tell who was scanned, by whom, where or when."""
    return {key: value for key, value in fields.items() if not _IDENTITY.search(key)}


def store_image(source: Path, target: Path, *, keep_identity: bool = False) -> None:
    """Compress a .nii of dcm2niix to `target` (.nii.gz, atomic); its header's free text is blanked.

    Voxels and geometry stay as they are, bit by bit. With `keep_identity` the text stays too.
    """

    def content() -> Iterator[Buffer]:
        with source.open("rb") as file:
            head = bytearray(file.read(348))
            if 348 not in {int.from_bytes(head[:4], order) for order in ("little", "big")}:
                raise InputError("not the NIfTI-1 header that was expected", source=source)
            for start, stop in () if keep_identity else _TEXTS:
                head[start:stop] = bytes(stop - start)
            yield head
            while block := file.read(BLOCK):
                yield block

    write_atomic(target, compressed(content()))
