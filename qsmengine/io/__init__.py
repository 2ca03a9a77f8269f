"""File input and output: images, sidecars, gradient tables, BIDS names. Only this package imports nibabel.

Public names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qsmengine.on_demand import names_on_demand

if TYPE_CHECKING:
    from qsmengine.io.atomic import write_atomic, write_json, write_text, write_together
    from qsmengine.io.bids import BidsName, write_dataset_description
    from qsmengine.io.dwi import DwiFile, DwiLoaded, load_dwi, open_dwi
    from qsmengine.io.gradients import clean_b_vectors, read_b_values, read_b_vectors
    from qsmengine.io.gre import GreLoaded, load_gre
    from qsmengine.io.header import ImageHeader, read_header
    from qsmengine.io.masks import load_mask
    from qsmengine.io.nifti import Image, read_image, read_stored, write_image
    from qsmengine.io.phase import PhaseFile, phase_to_radians
    from qsmengine.io.phase_units import PhaseUnits
    from qsmengine.io.sidecars import Sidecar, read_json, read_sidecar

__all__ = [
    "BidsName",
    "DwiFile",
    "DwiLoaded",
    "GreLoaded",
    "Image",
    "ImageHeader",
    "PhaseFile",
    "PhaseUnits",
    "Sidecar",
    "clean_b_vectors",
    "load_dwi",
    "load_gre",
    "load_mask",
    "open_dwi",
    "phase_to_radians",
    "read_b_values",
    "read_b_vectors",
    "read_header",
    "read_image",
    "read_json",
    "read_sidecar",
    "read_stored",
    "write_atomic",
    "write_dataset_description",
    "write_image",
    "write_json",
    "write_text",
    "write_together",
]

_HOMES = {
    "BidsName": "bids",
    "DwiFile": "dwi",
    "DwiLoaded": "dwi",
    "GreLoaded": "gre",
    "Image": "nifti",
    "ImageHeader": "header",
    "PhaseFile": "phase",
    "PhaseUnits": "phase_units",
    "Sidecar": "sidecars",
    "clean_b_vectors": "gradients",
    "load_dwi": "dwi",
    "load_gre": "gre",
    "load_mask": "masks",
    "open_dwi": "dwi",
    "phase_to_radians": "phase",
    "read_b_values": "gradients",
    "read_b_vectors": "gradients",
    "read_header": "header",
    "read_image": "nifti",
    "read_json": "sidecars",
    "read_sidecar": "sidecars",
    "read_stored": "nifti",
    "write_atomic": "atomic",
    "write_dataset_description": "bids",
    "write_image": "nifti",
    "write_json": "atomic",
    "write_text": "atomic",
    "write_together": "atomic",
}

__getattr__, __dir__ = names_on_demand(__name__, _HOMES)
