"""Parametric Map of a quantity: one object with its float32 values, coded quantity and unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from qsmengine.io.dicom_objects.codes import coded
from qsmengine.io.dicom_objects.identity import EQUIPMENT, PLACEHOLDER, add_body_part, finish, series_number
from qsmengine.io.dicom_objects.planes import Planes
from qsmengine.io.dicom_objects.quantity import Quantity


def parametric_map(quantity: Quantity, headers: list[Any], index: int) -> list[bytes]:
    """Return the file of a Parametric Map (PS3.3 A.75), in a list.

    Parameters
    ----------
    quantity
        Map; its values are stored unchanged, in the unit of the map.
    headers
        Headers of the reference volume. Frames refer to the images of the same position.
    index
        Number of the series among the exported ones, from 0.
    """
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping

    low, high = quantity.shown
    mapping = RealWorldValueMapping(
        lut_label=quantity.code.meaning[:16],
        lut_explanation=f"{quantity.code.meaning} in {quantity.unit}"[:64],
        unit=coded(quantity.ucum),
        value_range=(float(quantity.values.min()), float(quantity.values.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=coded(quantity.code),
    )
    made = ParametricMap(
        source_images=headers,
        pixel_array=volume_of(quantity.values, quantity.planes, headers[0]),
        series_instance_uid=PLACEHOLDER,
        series_number=series_number(headers[0], index),
        sop_instance_uid=PLACEHOLDER,
        instance_number=1,
        contains_recognizable_visual_features=quantity.face,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[
            VOILUTTransformation(
                window_center=(low + high) / 2, window_width=high - low, voi_lut_function="LINEAR_EXACT"
            )
        ],
        content_label="QSMENGINE",
        content_description=quantity.title[:64],
        series_description=f"{quantity.title} [{quantity.unit}]"[:64],
        **EQUIPMENT,
    )
    add_body_part(made, headers[0])
    return finish([made], headers[0])


def volume_of(array: np.ndarray[Any, Any], planes: Planes, source: Any) -> Any:
    """Return an array (slice, row, column) with its geometry as a volume of highdicom."""
    from highdicom import Volume

    return Volume(
        array,
        affine=planes.volume_affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=source.FrameOfReferenceUID,
    )
