"""T1-weighted image of a session."""

from __future__ import annotations

from collections.abc import Sequence

from qsmengine.io.bids import BidsFile
from qsmengine.modalities.series import Series, by_series

STEP = "anatomy"
"""Name of the step."""
IMAGE, LESIONS, MASK, FLAIR = "t1w", "lesions", "mask", "flair"
"""Roles of the image, of a mask of lesions, of a brain mask and of a FLAIR image."""
SUFFIXES = ("T1w",)
COMPANIONS = {FLAIR: "FLAIR"}
"""Role -> suffix of images that go with it."""


def group(files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
    """Return the session's T1-weighted image: the first; further ones are noted and not used."""
    images = [members[0] for members in by_series(files, set())]
    notes = [f"{image.path}: not used, anatomy comes from {images[0].path}" for image in images[1:]]
    return [Series(STEP, image.name, {IMAGE: (image.path,)}) for image in images[:1]], notes
