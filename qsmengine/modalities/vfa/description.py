"""Description of series with several flip angles as a modality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qsmengine.errors import InputError
from qsmengine.io.vfa import VfaFile, open_vfa
from qsmengine.modalities.gre.stages import SECTIONS as FIELD_SECTIONS
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Row
from qsmengine.modalities.session import opened
from qsmengine.modalities.style import Style
from qsmengine.modalities.transmit import with_b1
from qsmengine.modalities.vfa.balanced import SUFFIXES as BALANCED_SUFFIXES
from qsmengine.modalities.vfa.dicom import DICOM
from qsmengine.modalities.vfa.optional import with_optional
from qsmengine.modalities.vfa.reference import REFERENCE
from qsmengine.modalities.vfa.roles import FIRST, LATER, PHASE
from qsmengine.modalities.vfa.series import STEP, SUFFIXES, group
from qsmengine.modalities.vfa.session import SESSION, checked_protocol
from qsmengine.modalities.vfa.stages import SECTIONS
from qsmengine.modalities.vfa.warm_up import warm_up
from qsmengine.phantom.vfa_drawing import DRAWING

ROWS = (
    Row("R1map.nii.gz", "R1", Style("gray", (0.2, 1.6), "1/s")),
    Row("T1map.nii.gz", "T1", Style("viridis", (0.5, 2.5), "s")),
    Row("desc-vfa_R2starmap.nii.gz", "R2*", Style("inferno", (0.0, 60.0), "1/s")),
    Row("PDmap.nii.gz", "proton density", Style("gray", (0.5, 1.0), "")),
    Row("TB1map.nii.gz", "B1", Style("viridis", (0.7, 1.3), "")),
    Row("desc-bssfp_R2map.nii.gz", "R2", Style("inferno", (0.0, 30.0), "1/s")),
    Row("desc-vfa_Chimap.nii.gz", "chi", "chi"),
)


def _open(parts: Parts, opening: Opening) -> Opened:
    images = [path for role in (FIRST, LATER) for path in parts.get(role, ())]

    def read(problems: list[InputError]) -> VfaFile:
        file = open_vfa(images, folders=opening.folders, problems=problems)
        checked_protocol(file)
        return file

    file = opened(read)
    if isinstance(file, Opened):
        return file
    found = with_b1(file, Path(images[0]), opening, required=True)
    return with_optional(found, file, parts, opening)


def _protocol(acquisition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return flip angles and repetition times."""
    angles, times = acquisition.get("FlipAngle") or (), acquisition.get("RepetitionTimeExcitation") or ()
    found = []
    if angles:
        found.append(f"flip angles of {_listed(angles, 1.0)} degrees")
    if times:
        found.append(f"repetition times of {_listed(times, 1e3)} ms")
    return tuple(found)


def _listed(values: Any, factor: float) -> str:
    return " and ".join(f"{factor * value:.3g}" for value in sorted({float(value) for value in values}))


MODALITY = Modality(
    name="vfa",
    step=STEP,
    title="Relaxometry",
    data="Spoiled gradient echoes at several flip angles",
    absent="no series with several flip angles",
    datatype=SESSION.datatype,
    suffixes=(*SUFFIXES, *BALANCED_SUFFIXES),
    queries={"vfa": SUFFIXES, "bssfp": BALANCED_SUFFIXES},
    outside_bids=BALANCED_SUFFIXES,
    group=group,
    open=_open,
    sections=SECTIONS,
    role_sections={PHASE: FIELD_SECTIONS},
    plan=SESSION.plan,
    files=SESSION.files,
    reconstruct=SESSION.reconstruct,
    products=SESSION.products,
    rows=ROWS,
    reference=REFERENCE,
    measures=SESSION.measures,
    protocol=_protocol,
    dicom=DICOM,
    drawing=DRAWING,
    warm_up=warm_up,
)
