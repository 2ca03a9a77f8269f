"""Maps of a gradient-echo reconstruction and their files."""

from __future__ import annotations

from qsmengine.io.dicom_objects import codes
from qsmengine.pipeline.outputs.products import Product, Support

CHI_SUPPORT = Support("local_mask")
SIGNAL_SUPPORT = Support("brain_mask")

PRODUCTS = (
    Product("chi", "Chimap", {}, "magnetic susceptibility", CHI_SUPPORT, quantity=codes.SUSCEPTIBILITY),
    Product(
        "reliable_chi",
        "Chimap",
        {"desc": "pass1"},
        "susceptibility without voxels of unreliable phase",
        quantity=codes.SUSCEPTIBILITY,
    ),
    Product(
        "filled_chi",
        "Chimap",
        {"desc": "pass2"},
        "susceptibility with holes in the mask filled",
        quantity=codes.SUSCEPTIBILITY,
    ),
    Product(
        "chi_sd", "Chimap", {"desc": "sd"}, "standard deviation of the susceptibility from the field's noise"
    ),
    Product(
        "chi_ci68",
        "Chimap",
        {"desc": "ci68"},
        "half-width of an interval around the susceptibility that contains the truth in 68 % of the voxels",
        CHI_SUPPORT,
    ),
    Product(
        "chi_ci95",
        "Chimap",
        {"desc": "ci95"},
        "half-width of an interval around the susceptibility that contains the truth in 95 % of the voxels",
    ),
    *(
        Product(
            f"chi_region_ci{level}",
            "Chimap",
            {"desc": f"regionci{level}"},
            f"its mean over a region: half-width of the {level} % interval of the region's mean susceptibility",
            CHI_SUPPORT,
        )
        for level in (68, 95)
    ),
    Product(
        "chi_positive",
        "Chimap",
        {"desc": "paramagnetic"},
        "susceptibility of paramagnetic sources",
        CHI_SUPPORT,
        quantity=codes.SUSCEPTIBILITY,
    ),
    Product(
        "chi_negative",
        "Chimap",
        {"desc": "diamagnetic"},
        "susceptibility of diamagnetic sources",
        CHI_SUPPORT,
        quantity=codes.SUSCEPTIBILITY,
    ),
    Product(
        "chi_total",
        "Chimap",
        {"desc": "separated"},
        "sum of the para- and diamagnetic susceptibility",
        quantity=codes.SUSCEPTIBILITY,
    ),
    Product("swi", "swi", {}, "susceptibility-weighted image"),
    Product("minip", "minIP", {}, "minimum of the susceptibility-weighted image over a slab"),
    Product(
        "r2star",
        "R2starmap",
        {},
        "effective transverse relaxation rate",
        SIGNAL_SUPPORT,
        quantity=codes.R2_STAR,
    ),
    Product("r2star_sd", "R2starmap", {"desc": "sd"}, "standard deviation of the effective relaxation rate"),
    Product(
        "t2star",
        "T2starmap",
        {},
        "effective transverse relaxation time",
        SIGNAL_SUPPORT,
        quantity=codes.T2_STAR,
    ),
    Product("s0", "S0map", {}, "signal at echo time 0"),
    Product("total_field", "fieldmap", {"desc": "total"}, "field offset from all sources"),
    Product("local_field", "fieldmap", {"desc": "local"}, "field offset from sources inside the mask"),
    Product("noise", "fieldmap", {"desc": "noise"}, "standard deviation of the total field"),
    Product("brain_mask", "mask", {"desc": "brain"}, "mask of the field fit"),
    Product("local_mask", "mask", {"desc": "reliable"}, "voxels where the local field and chi are defined"),
    Product("reliable_mask", "mask", {"desc": "pass1"}, "voxels of the first of two passes"),
    Product("csf_mask", "mask", {"desc": "csf"}, "cerebrospinal fluid used as reference of chi"),
)
