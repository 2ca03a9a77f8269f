"""Segmentation object of a label image: one binary segment per label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.io.dicom_objects.anatomy import BRAIN, SIDES, structure
from qsmengine.io.dicom_objects.codes import Coded, coded
from qsmengine.io.dicom_objects.identity import EQUIPMENT, PLACEHOLDER, finish, series_number
from qsmengine.io.dicom_objects.parametric_map import volume_of
from qsmengine.io.dicom_objects.planes import Planes

_STRUCTURE = Coded("123037004", "SCT", "Anatomical Structure")


class Segment(NamedTuple):
    """Label of an image: its value, name, and side ("left", "right", or "midline")."""

    value: int
    name: str
    side: str = "midline"


def segmentation(
    labels: npt.NDArray[np.int32],
    planes: Planes,
    segments: Sequence[Segment],
    title: str,
    algorithm: str,
    headers: list[Any],
    index: int,
) -> list[bytes]:
    """Return the file of a Segmentation (PS3.3 A.51), in a list.

    Parameters
    ----------
    labels
        Label of each voxel (slice, row, column).
    planes
        Geometry.
    segments
        Labels, each of which becomes a segment; other values of `labels` are background.
    title
        Description of the series.
    algorithm
        Name of the program or method that made the labels.
    headers
        Headers of the reference volume.
    index
        Number of the series among the exported ones, from 0.
    """
    from highdicom.seg import Segmentation

    numbers = np.zeros(labels.shape, dtype=np.uint16)
    for number, segment in enumerate(segments, start=1):
        numbers[labels == segment.value] = number
    made = Segmentation(
        source_images=headers,
        pixel_array=volume_of(numbers, planes, headers[0]),
        segmentation_type="BINARY",
        segment_descriptions=[_description(n, one, algorithm) for n, one in enumerate(segments, start=1)],
        series_instance_uid=PLACEHOLDER,
        series_number=series_number(headers[0], index),
        sop_instance_uid=PLACEHOLDER,
        instance_number=1,
        content_label="QSMENGINE",
        content_description=title[:64],
        series_description=title[:64],
        **EQUIPMENT,
    )
    return finish([made], headers[0])


def _description(number: int, segment: Segment, algorithm: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    name = segment.name.replace("_", " ")
    side = SIDES.get(segment.side)
    kind = structure(segment.name)
    made = SegmentDescription(
        segment_number=number,
        segment_label=(f"{segment.side} {name}" if side else name)[:64],
        segmented_property_category=coded(_STRUCTURE),
        segmented_property_type=coded(kind or BRAIN),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm[:64], family=codes.cid7162.ArtificialIntelligence, version="unknown"
        ),
    )
    if side:
        modifier = CodedConcept(side.value, side.scheme, side.meaning)
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return made
