"""Files in the folder of a bolus series that give its artery, its reference region, or its brain mask.

For ``sub-01_dsc.nii.gz`` these are ``sub-01_aif.tsv``, ``sub-01_desc-aif_mask.nii.gz``,
``sub-01_desc-reference_mask.nii.gz``, and ``sub-01_desc-brain_mask.nii.gz``: the names of this modality's own
outputs, so a corrected artery can be copied to the series and the session run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qsmengine.io.bids import BidsName

AIF, AIF_MASK, REGION, MASK = "aif", "aif_mask", "region", "mask"


def companions(image: Path) -> tuple[Mapping[str, tuple[Path, ...]], tuple[str, ...]]:
    """Return role -> file for the companions that exist, and a note on each."""
    name = BidsName.parse(image)
    names = {
        AIF: name.derivative("aif", extension=".tsv"),
        AIF_MASK: name.derivative("mask", desc="aif"),
        REGION: name.derivative("mask", desc="reference"),
        MASK: name.derivative("mask", desc="brain"),
    }
    paths = {role: image.with_name(own.filename) for role, own in names.items()}
    found = {role: (path,) for role, path in paths.items() if path.is_file()}
    return found, tuple(f"{role}: {path}" for role, (path,) in found.items())
