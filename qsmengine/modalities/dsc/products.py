"""Maps of a bolus series and their files."""

from __future__ import annotations

from qsmengine.io.dicom_objects import codes
from qsmengine.pipeline.outputs.products import Product, Support

_BRAIN = Support("brain_mask")
RELATIVE = {"relative_cbv": "cbv", "relative_cbf": "cbf"}
"""Map relative to a region -> the map it is made from."""

PRODUCTS = (
    Product("cbv", "CBV", {}, "cerebral blood volume", _BRAIN, quantity=codes.BLOOD_VOLUME),
    Product("cbf", "CBF", {}, "cerebral blood flow", _BRAIN, quantity=codes.BLOOD_FLOW),
    Product("mtt", "MTT", {}, "mean transit time", _BRAIN, quantity=codes.MEAN_TRANSIT_TIME),
    Product(
        "tmax",
        "Tmax",
        {},
        "time of the maximum of the residue function after the artery",
        _BRAIN,
        quantity=codes.TMAX,
    ),
    Product("ttp", "TTP", {}, "time from the first frame to the peak", _BRAIN, quantity=codes.TIME_TO_PEAK),
    Product("delay", "delay", {}, "arrival of the agent after the artery", _BRAIN),
    Product(
        "relative_cbv",
        "CBV",
        {"desc": "relative"},
        "blood volume over its mean in the reference region",
        _BRAIN,
        quantity=codes.RELATIVE_BLOOD_VOLUME,
    ),
    Product(
        "relative_cbf",
        "CBF",
        {"desc": "relative"},
        "blood flow over its mean in the reference region",
        _BRAIN,
        quantity=codes.RELATIVE_BLOOD_FLOW,
    ),
    Product("k2", "K2", {}, "leakage; positive where T1 shortening lowers the curve", _BRAIN),
    Product("kep", "kep", {}, "rate of backflow of leaked agent", _BRAIN),
    Product("cbf_sd", "CBF", {"desc": "sd"}, "standard deviation of the blood flow"),
    Product("mtt_sd", "MTT", {"desc": "sd"}, "standard deviation of the mean transit time"),
    Product("delay_sd", "delay", {"desc": "sd"}, "standard deviation of the delay"),
    Product("residual", "residual", {}, "part of each curve that the deconvolution does not explain"),
    Product("aif_mask", "mask", {"desc": "aif"}, "voxels of the arterial input function"),
    Product("brain_mask", "mask", {"desc": "brain"}, "voxels in which perfusion was computed"),
)
