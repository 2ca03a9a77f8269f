"""Presets: whole chains by name. They are Python, not YAML, because every command reads one when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ECHOES: dict[str, Any] = {
    "phase_offset": {"method": "mcpc3ds", "unit": "mm"},
    "unwrap": {"method": "romeo"},
    "field": {"method": "weighted_fit"},
    "mask": {"method": "phase_magnitude"},
    "reliability": {"method": "field_jumps"},
}
_MAPS: dict[str, Any] = {
    "relaxometry": {"method": "arlo"},
    "reference": {"method": "region_mean"},
    "diffusion": {"method": "ols"},
}
_TWO_STEPS: dict[str, Any] = {"background": {"method": "lbv"}, "inversion": {"method": "weak_harmonic"}}
"""Used instead of the single step if one of the two is named."""
_SPHERES: dict[str, Any] = {
    "background": {"method": "vsharp"},
    "inversion": {"method": "weak_harmonic", "lambda": 3.0e-5},
}
"""Background removal by spheres; what it leaves of the background field acts like noise on the inversion."""
_FEW = {"iterations": 14, "mu_data": 0.4, "mu_harmonic": 4.0}
"""Few iterations of tfi; penalties that suit their number: larger ones bring the field to the data sooner."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The chain with the least error of chi in the accuracy study (docs/qsm-accuracy.md). lambda of the
    # inversion adapts to the noise of the field.
    "accurate": {**_ECHOES, "single_step": {"method": "tfi"}, **_TWO_STEPS, **_MAPS},
    # The recommendation of the QSM Consensus Organization Committee (2024, 10.1002/mrm.30006): echoes are
    # combined after exact unwrapping, the mask is brain AND phase quality, V-SHARP uses spheres of 12 to 1 mm,
    # the inversion has a sparsity prior (its example: nonlinear total variation with a weak harmonic field),
    # and chi is relative to the mean of the whole brain.
    "consensus": {**_ECHOES, "mask": {"method": "combined"}, **_SPHERES, **_MAPS},
    # Two gradient echoes of a FLASH sequence, as in Pontillo et al. 2019 (10.3174/ajnr.A5915).
    "double-echo-flash": {**_ECHOES, "single_step": {"method": "tfi"}, **_TWO_STEPS, **_MAPS},
    # For a first look and for quality control: the default with 14 in place of 40 iterations. Its error of chi
    # (nrmse) is up to a percentage point larger, more with calcifications (docs/qsm-accuracy.md).
    "fast": {
        **_ECHOES,
        "single_step": {"method": "tfi", **_FEW},
        "background": {"method": "lbv"},
        "inversion": {"method": "weak_harmonic", "iterations": 24},
        **_MAPS,
    },
    # One gradient echo, as in Schweser et al. 2018 (10.1016/j.neuroimage.2017.10.063). Its phase offset cannot
    # be separated from the field: tfi takes it to be part of the background.
    "single-echo": {
        **_ECHOES,
        "phase_offset": None,
        "single_step": {"method": "tfi"},
        **_TWO_STEPS,
        **_MAPS,
        "relaxometry": None,
    },
}
"""Name -> section -> method with parameters that differ from its defaults; None: switched off."""
