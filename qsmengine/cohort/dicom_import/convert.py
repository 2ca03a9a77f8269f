"""DICOM import: convert a scanner's export to one session of a BIDS dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qsmengine.cohort.dicom_import.recognise import Unrecognised, all_series, recognise
from qsmengine.errors import InputError, UsageError
from qsmengine.io.atomic import write_atomic, write_json, write_text
from qsmengine.io.bids import BIDS_VERSION, BidsName
from qsmengine.io.dicom import Converted, convert_dicom, store_image, without_identity
from qsmengine.io.owned import private_folder
from qsmengine.modalities.dicom import Named, Recognised, Scan
from qsmengine.pipeline.outputs.staging import check_absent, staged

_DESCRIPTION = "dataset_description.json"
_PARTICIPANTS = "participants.tsv"


@dataclass(frozen=True)
class Imported:
    """Result of an import: files written (relative to the dataset), series left out, and decisions."""

    files: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def import_dicom(
    folder: str | Path,
    bids: str | Path,
    subject: str,
    session: str | None = None,
    *,
    keep_identity: bool = False,
    force: bool = False,
) -> Imported:
    """Convert a folder of one patient's DICOM files to a session of the BIDS dataset `bids`.

    Gradient echoes become ``_MEGRE`` (one echo: ``_T2starw``) with their parts, diffusion ``_dwi`` with its
    gradient table, and T1-weighted images ``_T1w``; repeats are numbered as runs. Stored values are unchanged;
    the sidecar of phase says "rad" where the values are radians, else "arbitrary".

    Parameters
    ----------
    folder
        DICOM files, at any depth.
    bids
        Root of the dataset; created if it does not exist.
    subject, session
        Labels, with or without ``sub-`` and ``ses-``.
    keep_identity
        Keep the patient, physicians, place, times and free text of the headers in the sidecars.
    force
        Replace files of an earlier import.

    Raises
    ------
    UsageError
        If a label contains anything but letters and digits, or a file already exists.
    InputError
        If no series is recognised, or the folder holds several patients or visits.
    DeviceError
        If the extra ``qsmengine[dicom]`` is not installed.
    """
    root, entities = Path(bids), _entities(subject, session)
    with private_folder("dicom") as scratch:
        converted, notes = convert_dicom(Path(folder), scratch)
        _check_one_visit(converted, Path(folder))
        scans = [Scan(image) for image in converted]
        sorted_out = [recognise(scan, scans) for scan in scans]
        left_out = tuple(one.text for one in sorted_out if isinstance(one, Unrecognised))
        found = [one for one in sorted_out if isinstance(one, Recognised)]
        if not found:
            raise InputError(f"no series recognised: {'; '.join(left_out)}", source=folder)
        jobs = list(_named(found, entities, notes))
        if not force:
            check_absent(root / folder_ / named.name.filename for folder_, named in jobs)
        with staged(root) as temporary:
            files = [path for job in jobs for path in _store(temporary, *job, keep_identity=keep_identity)]
            _write_dataset(temporary, root, entities["sub"])
    return Imported(tuple(files), left_out, tuple(dict.fromkeys(notes)))


def _entities(subject: str, session: str | None) -> dict[str, str]:
    entities = {"sub": subject.removeprefix("sub-")}
    if session is not None:
        entities["ses"] = session.removeprefix("ses-")
    try:
        BidsName(entities, "x")
    except InputError as error:
        raise UsageError(f"--subject, --session: {error.message}") from None
    return entities


def _check_one_visit(converted: Sequence[Converted], folder: Path) -> None:
    for name, what in (("PatientID", "patients"), ("StudyInstanceUID", "visits")):
        values = {str(image.fields[name]) for image in converted if name in image.fields}
        if len(values) > 1:
            raise InputError(
                f"{len(values)} {what} in one folder; import one at a time", source=folder, field=name
            )


def _named(
    found: Sequence[Recognised], entities: Mapping[str, str], notes: list[str]
) -> Iterator[tuple[Path, Named]]:
    """Return every image with its name, and its folder relative to the dataset."""
    for series in all_series():
        own = [one for kind in series.kinds for one in found if one.kind == kind]
        for named in series.names(own, entities, notes):
            yield named.name.folder / series.folder, named


def _store(root: Path, folder: Path, named: Named, *, keep_identity: bool) -> list[str]:
    """Write an image and its associated files below `root`; return their paths relative to it."""
    name, scan, fields = named
    source, place = scan.source, folder / name.filename
    stem = place.as_posix().removesuffix(".nii.gz")
    store_image(source.image, root / place, keep_identity=keep_identity)
    content = dict(source.fields) if keep_identity else without_identity(source.fields)
    write_json(root / f"{stem}.json", content | dict(fields))
    written = [place.as_posix(), f"{stem}.json"]
    for ending, table in ((".bval", source.bval), (".bvec", source.bvec)):
        if table is not None and source.bval is not None:
            write_atomic(root / f"{stem}{ending}", [table.read_bytes()])
            written.append(f"{stem}{ending}")
    return written


def _write_dataset(folder: Path, root: Path, subject: str) -> None:
    """Write the dataset's description and list the subject in its participants table."""
    if not (root / _DESCRIPTION).is_file():
        content = {"Name": root.resolve().name, "BIDSVersion": BIDS_VERSION, "DatasetType": "raw"}
        write_json(folder / _DESCRIPTION, content)
    table = root / _PARTICIPANTS
    text = table.read_text(encoding="utf-8-sig") if table.is_file() else "participant_id\n"
    lines = text.splitlines()
    columns = lines[0].split("\t")
    if f"sub-{subject}" not in {line.split("\t")[0] for line in lines}:
        row = [f"sub-{subject}" if name == "participant_id" else "n/a" for name in columns]
        write_text(folder / _PARTICIPANTS, "\n".join([*lines, "\t".join(row)]) + "\n")
