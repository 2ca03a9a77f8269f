"""Codes of anatomical structures, looked up by name in the dictionary of pydicom."""

from __future__ import annotations

import re

from qsmengine.io.dicom_objects.codes import Coded

BRAIN = Coded("12738006", "SCT", "Brain")
SIDES = {
    "left": Coded("7771000", "SCT", "Left"),
    "right": Coded("24028007", "SCT", "Right"),
    "bilateral": Coded("51440002", "SCT", "Right and left"),
}
"""Hemisphere of a region -> code."""
_GROUPS = ("cid7140", "cid7153")
"""Brain structures for volumetric measurement, and central nervous system segmentation types."""
_FILLERS = re.compile(r"[^a-z]|nucleus|part$")
_SYNONYMS = {"pallidum": "globuspallidus", "csf": "cerebrospinalfluid"}


def structure(name: str) -> Coded | None:
    """Return the code of a structure such as "caudate" or "red_nucleus"; None if the dictionary has none."""
    from pydicom.sr.codedict import codes

    wanted = _FILLERS.sub("", name.lower())
    wanted = _SYNONYMS.get(wanted, wanted)
    for group in _GROUPS:
        concepts = getattr(codes, group)
        for keyword in concepts.dir():
            if _FILLERS.sub("", keyword.lower()) == wanted:
                code = getattr(concepts, keyword)
                return Coded(code.value, code.scheme_designator, code.meaning)
    return None
