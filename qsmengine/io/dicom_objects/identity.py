"""Identity of exported objects: patient and study from the source, identifiers from the content.

Identifiers are UUIDs of the form 2.25.N, derived from a SHA-256 of everything else in the object. The same
export gives the same identifiers; any change, of a voxel or a window, gives new ones. Dates are those of the
study, as a date of the export would change the content.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from qsmengine.version import __version__

PLACEHOLDER = "2.25.1"
"""Identifier of a series and its objects until their content is known."""
SERIES_STEP = 1000
"""The first exported series has the number of the source plus this step, the next plus twice this step."""
EQUIPMENT: dict[str, Any] = {
    "manufacturer": "qsmengine",
    "manufacturer_model_name": "qsmengine",
    "software_versions": __version__,
    "device_serial_number": "none",
}
_NO_DATE, _NO_TIME = "19000101", "000000"
"""Date and time of studies without them, which de-identified files lack."""
_DATES = ("InstanceCreationDate", "ContentDate", "SeriesDate")
_TIMES = ("InstanceCreationTime", "ContentTime", "SeriesTime")
_MOMENT = "ContributionDateTime"
_RANDOM = "DimensionOrganizationUID"


def uid_of(*parts: object) -> str:
    """Return the identifier derived from some texts."""
    text = "\0".join(map(str, parts)).encode()
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(text).hexdigest()).int}"


def series_number(source: Any, index: int) -> int:
    """Return the number of the exported series `index`, from 0."""
    return max(0, int(source.get("SeriesNumber") or 0)) + SERIES_STEP * (index + 1)


def new_instance(source: Any, sop_class: str, modality: str, number: int, instance: int) -> Any:
    """Return an object of the source's patient and study, without identifiers and content."""
    from highdicom.base import SOPClass
    from pydicom.uid import ExplicitVRLittleEndian

    made = SOPClass(
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=PLACEHOLDER,
        series_number=number,
        sop_instance_uid=PLACEHOLDER,
        sop_class_uid=sop_class,
        instance_number=instance,
        modality=modality,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        patient_id=source.PatientID,
        patient_name=source.PatientName,
        patient_birth_date=source.PatientBirthDate,
        patient_sex=source.PatientSex,
        accession_number=source.AccessionNumber,
        study_id=source.StudyID,
        study_date=source.StudyDate,
        study_time=source.StudyTime,
        referring_physician_name=source.ReferringPhysicianName,
        specific_character_set=source.get("SpecificCharacterSet"),
        **EQUIPMENT,
    )
    made.copy_patient_and_study_information(source)
    made.FrameOfReferenceUID = source.FrameOfReferenceUID
    made.PositionReferenceIndicator = source.PositionReferenceIndicator
    return made


def finish(objects: Sequence[Any], source: Any) -> list[bytes]:
    """Set dates and identifiers of the objects of one series; return them as files."""
    date, time = str(source.StudyDate or _NO_DATE), str(source.StudyTime or _NO_TIME)
    digest = hashlib.sha256()
    fixed = dict.fromkeys(_DATES, date) | dict.fromkeys(_TIMES, time)
    fixed |= {_MOMENT: date + time, _RANDOM: PLACEHOLDER}
    for made in objects:
        _fill(made, fixed)
        digest.update(_encoded(made))
    key = digest.hexdigest()
    files = []
    for index, made in enumerate(objects):
        made.SeriesInstanceUID = uid_of(key)
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid_of(key, index)
        _fill(made, {_RANDOM: uid_of(key, "dimensions")})
        files.append(_encoded(made))
    return files


def add_body_part(made: Any, source: Any) -> None:
    """Take over the body part; without one DICOM asks for a laterality, which may be empty."""
    if source.get("BodyPartExamined"):
        made.BodyPartExamined = source.BodyPartExamined
    else:
        made.Laterality = ""


def _fill(made: Any, values: Mapping[str, str]) -> None:
    """Set attributes at every depth of an object, where it has them."""

    def change(dataset: Any, element: Any) -> None:
        if element.keyword in values:
            dataset[element.tag].value = values[element.keyword]

    made.walk(change)


def _encoded(made: Any) -> bytes:
    with BytesIO() as stream:
        made.save_as(stream, enforce_file_format=True)
        return stream.getvalue()
