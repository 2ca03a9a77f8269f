"""Maps of a series with several flip angles and their files."""

from __future__ import annotations

from qsmengine.io.dicom_objects import codes
from qsmengine.pipeline.outputs.products import Product, Support

_BRAIN, _KNOWN = Support("brain_mask"), Support("r1")
_R2STAR = "effective transverse relaxation rate of all flip angles"
_R2 = "transverse relaxation rate from balanced steady states"

PRODUCTS = (
    Product("r1", "R1map", {}, "longitudinal relaxation rate", _KNOWN, quantity=codes.R1),
    Product("t1", "T1map", {}, "longitudinal relaxation time", _KNOWN, quantity=codes.T1),
    Product(
        "r2star", "R2starmap", {"desc": "vfa"}, _R2STAR, _BRAIN, column="vfa_r2star", quantity=codes.R2_STAR
    ),
    Product("amplitude", "M0map", {}, "equilibrium magnetisation times the receive field", _KNOWN),
    Product("pd", "PDmap", {}, "proton density relative to water", _KNOWN, quantity=codes.PROTON_DENSITY),
    Product("b1", "TB1map", {}, "transmit field relative to its nominal value", _BRAIN),
    Product(
        "chi",
        "Chimap",
        {"desc": "vfa"},
        "magnetic susceptibility",
        Support("chi"),
        column="vfa_chi",
        quantity=codes.SUSCEPTIBILITY,
    ),
    Product("total_field", "fieldmap", {"desc": "vfa"}, "field offset from all sources"),
    Product(
        "balanced_r2",
        "R2map",
        {"desc": "bssfp"},
        _R2,
        Support("balanced_r2"),
        column="bssfp_r2",
        quantity=codes.R2,
    ),
    Product("balanced_r2_sd", "R2map", {"desc": "bssfpsd"}, "standard deviation of R2"),
    Product("r1_sd", "R1map", {"desc": "sd"}, "standard deviation of R1"),
    Product("r2star_sd", "R2starmap", {"desc": "vfasd"}, "standard deviation of R2*"),
    Product("amplitude_sd", "M0map", {"desc": "sd"}, "standard deviation of the magnetisation"),
    Product("brain_mask", "mask", {"desc": "vfabrain"}, "voxels in which maps were computed"),
)
"""Maps of a series; R2* and mask are named apart from those of gradient echoes in the same session."""
