"""Structured report (TID 1500) of a region table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from qsmengine.io.dicom_objects.anatomy import BRAIN, SIDES, structure
from qsmengine.io.dicom_objects.codes import Coded, coded
from qsmengine.io.dicom_objects.identity import EQUIPMENT, PLACEHOLDER, finish, series_number, uid_of

STATISTICS = {
    "mean": Coded("373098007", "SCT", "Mean"),
    "median": Coded("373099004", "SCT", "Median"),
    "sd": Coded("386136009", "SCT", "Standard Deviation"),
    "p05": Coded("371888009", "SCT", "5th Percentile Value of population"),
    "p95": Coded("371889001", "SCT", "95th Percentile Value of population"),
    "min": Coded("255605001", "SCT", "Minimum"),
    "max": Coded("56851009", "SCT", "Maximum"),
}
"""Statistic of a region table -> code of the derivation. Quartiles, counts and coverage have none."""
_PROCEDURE = Coded("25056-3", "LN", "MRI unspecified body region")


class Number(NamedTuple):
    """Value of a region: quantity, unit in UCUM, and derivation, if any."""

    quantity: Coded
    value: float
    unit: Coded
    derivation: Coded | None = None


class Region(NamedTuple):
    """Region with its side ("left", "right", "bilateral", or "midline") and values."""

    name: str
    side: str
    numbers: tuple[Number, ...]


def measurement_report(regions: Sequence[Region], title: str, headers: list[Any], index: int) -> list[bytes]:
    """Return the file of a Comprehensive SR (PS3.3 A.35.3) with template TID 1500, in a list.

    Parameters
    ----------
    regions
        Regions; each becomes a measurement group (TID 1501).
    title
        Description of the series.
    headers
        Headers of the reference volume, which the report lists as evidence.
    index
        Number of the series among the exported ones, from 0.
    """
    from highdicom import sr

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", EQUIPMENT["software_versions"]),
        name="qsmengine",
        manufacturer_name=EQUIPMENT["manufacturer"],
        model_name=EQUIPMENT["manufacturer_model_name"],
    )
    observer = sr.ObserverContext(observer_type=_device(), observer_identifying_attributes=device)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=coded(_PROCEDURE),
        imaging_measurements=[_group(one, str(headers[0].StudyInstanceUID)) for one in regions],
        referenced_images=headers,
    )
    made = sr.ComprehensiveSR(
        evidence=headers,
        content=content,
        series_instance_uid=PLACEHOLDER,
        series_number=series_number(headers[0], index),
        sop_instance_uid=PLACEHOLDER,
        instance_number=1,
        is_complete=True,
        series_description=title[:64],
        **EQUIPMENT,
    )
    return finish([made], headers[0])


def _device() -> Any:
    from pydicom.sr.codedict import codes

    return codes.DCM.Device


def _group(region: Region, study: str) -> Any:
    from highdicom import sr

    side = SIDES.get(region.side)
    place = structure(region.name) or BRAIN
    name = region.name.replace("_", " ")
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=uid_of(study, region.name, region.side),
            identifier=f"{region.side} {name}" if side else name,
        ),
        finding_sites=[sr.FindingSite(coded(place), laterality=coded(side) if side else None)],
        measurements=[
            sr.Measurement(
                name=coded(one.quantity),
                value=one.value,
                unit=coded(one.unit),
                derivation=coded(one.derivation) if one.derivation else None,
            )
            for one in region.numbers
        ],
    )
