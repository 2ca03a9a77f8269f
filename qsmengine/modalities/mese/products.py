"""Maps of a spin-echo train and their files."""

from __future__ import annotations

from qsmengine.io.dicom_objects import codes
from qsmengine.pipeline.outputs.products import Product, Support

_BRAIN, _KNOWN = Support("brain_mask"), Support("r2")

PRODUCTS = (
    Product("r2", "R2map", {}, "transverse relaxation rate", _KNOWN, quantity=codes.R2),
    Product("t2", "T2map", {}, "transverse relaxation time", _KNOWN, quantity=codes.T2),
    Product("r2prime", "R2primemap", {}, "decay that a spin echo reverses, R2* - R2", _KNOWN),
    Product("refocusing_b1", "TB1map", {"desc": "mese"}, "transmit field of the refocusing pulses", _KNOWN),
    Product("spin_amplitude", "M0map", {"desc": "mese"}, "signal of the train before decay", _KNOWN),
    Product("r2_sd", "R2map", {"desc": "sd"}, "standard deviation of R2"),
    Product("brain_mask", "mask", {"desc": "mesebrain"}, "voxels in which maps were computed"),
)
"""Maps of a series; the field, the amplitude and the mask are named apart from those of several flip angles."""
