"""DICOM import: convert a scanner's export to one session of a BIDS dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qsmengine.cohort.dicom_import.recognise import Part, Recognised, Unrecognised, recognise
from qsmengine.errors import InputError, UsageError
from qsmengine.io.atomic import write_atomic, write_json, write_text
from qsmengine.io.bids import BIDS_VERSION, BidsName
from qsmengine.io.dicom import Converted, convert_dicom, store_image, without_identity
from qsmengine.io.header import read_header
from qsmengine.io.nifti import read_stored
from qsmengine.io.owned import private_folder
from qsmengine.io.phase import PhaseFile, detect_units
from qsmengine.pipeline.outputs.staging import staged

_DESCRIPTION = "dataset_description.json"
_PARTICIPANTS = "participants.tsv"
_PAIRS = ({"mag", "phase"}, {"real", "imag"})


@dataclass(frozen=True)
class Imported:
    """Result of an import: files written (relative to the dataset), series left out, and decisions."""

    files: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Acquisition:
    """Images of one gradient-echo acquisition, by part."""

    parts: dict[Part, list[Recognised]] = field(default_factory=dict)

    def takes(self, part: Part, images: Sequence[Recognised]) -> bool:
        """Return whether a part belongs to this acquisition: same echo times and grid, and not yet present."""
        if part in self.parts:
            return False
        own = next(iter(self.parts.values()))
        return _times(own) == _times(images) and _same_grid(own[0], images[0])


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
        sorted_out = [recognise(image, converted) for image in converted]
        left_out = tuple(one.text for one in sorted_out if isinstance(one, Unrecognised))
        found = [one for one in sorted_out if isinstance(one, Recognised)]
        if not found:
            raise InputError(f"no series recognised: {'; '.join(left_out)}", source=folder)
        jobs = list(_named(found, entities, notes))
        _check_existing(root, [name for name, _, _ in jobs], force=force)
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
    found: Sequence[Recognised], entities: dict[str, str], notes: list[str]
) -> Iterator[tuple[BidsName, Recognised, dict[str, Any]]]:
    """Return the images' names and the fields to add to their sidecars."""
    acquisitions = _acquisitions([one for one in found if one.what == "gre"])
    for run, acquisition in enumerate(acquisitions, start=1):
        more = {"run": str(run)} if len(acquisitions) > 1 else {}
        yield from _gre_names(acquisition, {**entities, **more}, notes)
    for what, suffix in (("dwi", "dwi"), ("sbref", "sbref"), ("T1w", "T1w")):
        images = [one for one in found if one.what == what]
        series = list(dict.fromkeys(one.source.image for one in images if one.part == "mag"))
        split = any(one.part != "mag" for one in images)
        for one in images:
            own = dict(entities)
            if len(series) > 1:
                own["run"] = str(
                    series.index(one.source.image) + 1 if one.source.image in series else _run(one, images)
                )
            if split:
                own["part"] = one.part
            yield BidsName(own, suffix), one, {}


def _run(image: Recognised, images: Sequence[Recognised]) -> int:
    """Return the run of a part other than magnitude: that of the preceding magnitude."""
    before = [
        one for one in images if one.part == "mag" and one.source.series_number <= image.source.series_number
    ]
    return max(1, len(before))


def _acquisitions(images: Sequence[Recognised]) -> list[_Acquisition]:
    """Group gradient echoes: a part joins the last acquisition with its echoes and grid that still lacks it."""
    groups: dict[tuple[int, Part], list[Recognised]] = {}
    for image in images:
        groups.setdefault((image.source.series_number, image.part), []).append(image)
    acquisitions: list[_Acquisition] = []
    for (_, part), members in groups.items():
        ordered = sorted(members, key=lambda one: one.echo_time)
        home = next((a for a in reversed(acquisitions) if a.takes(part, ordered)), None)
        if home is None:
            home = _Acquisition()
            acquisitions.append(home)
        home.parts[part] = ordered
    return acquisitions


def _gre_names(
    acquisition: _Acquisition, entities: dict[str, str], notes: list[str]
) -> Iterator[tuple[BidsName, Recognised, dict[str, Any]]]:
    if not any(pair <= set(acquisition.parts) for pair in _PAIRS):
        (part, (first, *_)), *_ = acquisition.parts.items()
        other = "phase" if part == "mag" else "other part"
        notes.append(f"series {first.source.series_number} ({first.source.description}): no matching {other}")
    for part, images in acquisition.parts.items():
        fields = {"Units": _units(images, notes)} if part == "phase" else {}
        for echo, image in enumerate(images, start=1):
            own = {**entities, **({"echo": str(echo)} if len(images) > 1 else {}), "part": part}
            yield BidsName(own, "MEGRE" if len(images) > 1 else "T2starw"), image, fields


def _units(images: Sequence[Recognised], notes: list[str]) -> str:
    """Return the BIDS Units of a phase series: "rad" if its values are radians, else "arbitrary"."""
    files = []
    for image in images:
        stored = read_stored(image.source.image)
        files.append(PhaseFile(stored.array, stored.header))
    series = f"series {images[0].source.series_number} ({images[0].source.description})"
    try:
        units = detect_units(files)
    except InputError as error:
        notes.append(f"{series}: {error.message}")
        return "arbitrary"
    notes.append(f"{series}: phase in the range {units}")
    return "rad" if units in {"rad", "rad-0-2pi"} else "arbitrary"


def _times(images: Sequence[Recognised]) -> list[float]:
    return [round(image.echo_time, 6) for image in images]


def _same_grid(one: Recognised, other: Recognised) -> bool:
    return read_header(one.source.image)[1].matches(read_header(other.source.image)[1])


def _check_existing(root: Path, names: Iterable[BidsName], *, force: bool) -> None:
    paths = [root / _place(name) for name in names]
    existing = [path for path in paths if path.exists()]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]}{more} exists already; --force replaces it")


def _place(name: BidsName) -> Path:
    return name.folder / ("dwi" if name.suffix in {"dwi", "sbref"} else "anat") / name.filename


def _store(
    folder: Path, name: BidsName, image: Recognised, fields: dict[str, Any], *, keep_identity: bool
) -> list[str]:
    """Write an image and its associated files below `folder`; return their paths relative to it."""
    place = _place(name)
    stem = place.as_posix().removesuffix(".nii.gz")
    store_image(image.source.image, folder / place, keep_identity=keep_identity)
    content = dict(image.source.fields) if keep_identity else without_identity(image.source.fields)
    write_json(folder / f"{stem}.json", content | fields)
    written = [place.as_posix(), f"{stem}.json"]
    for ending, table in ((".bval", image.source.bval), (".bvec", image.source.bvec)):
        if table is not None and image.what == "dwi":
            write_atomic(folder / f"{stem}{ending}", [table.read_bytes()])
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
