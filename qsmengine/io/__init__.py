"""File input and output: images, sidecars, gradient tables, BIDS names. Only this package imports nibabel."""

from __future__ import annotations

from qsmengine.io.atomic import write_atomic, write_json, write_text, write_together
from qsmengine.io.bids import BidsName, write_dataset_description
from qsmengine.io.dwi import DwiFile, DwiLoaded, load_dwi, open_dwi
from qsmengine.io.gradients import clean_b_vectors, read_b_values, read_b_vectors
from qsmengine.io.gre import GreLoaded, load_gre, load_mask
from qsmengine.io.header import ImageHeader, read_header
from qsmengine.io.nifti import Image, read_image, read_stored, write_image
from qsmengine.io.phase import PhaseFile, PhaseUnits, phase_to_radians
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
