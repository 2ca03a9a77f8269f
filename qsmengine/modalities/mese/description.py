"""Description of spin-echo trains as a modality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qsmengine.io.mese import open_mese
from qsmengine.modalities.mese.dicom import DICOM
from qsmengine.modalities.mese.reference import REFERENCE
from qsmengine.modalities.mese.series import IMAGES, STEP, SUFFIXES, group
from qsmengine.modalities.mese.session import SESSION, checked_times
from qsmengine.modalities.mese.stages import SECTIONS
from qsmengine.modalities.mese.warm_up import warm_up
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Row
from qsmengine.modalities.session import opened
from qsmengine.modalities.style import Style
from qsmengine.modalities.transmit import with_b1
from qsmengine.phantom.mese_drawing import DRAWING

ROWS = (
    Row("R2map.nii.gz", "R2", Style("inferno", (0.0, 30.0), "1/s")),
    Row("T2map.nii.gz", "T2", Style("viridis", (0.0, 0.2), "s")),
    Row("R2primemap.nii.gz", "R2'", Style("inferno", (0.0, 30.0), "1/s")),
    Row("desc-mese_TB1map.nii.gz", "B1 of the refocusing pulses", Style("viridis", (0.7, 1.0), "")),
)


def _open(parts: Parts, opening: Opening) -> Opened:
    images = parts.get(IMAGES, ())
    file = opened(lambda problems: checked_times(open_mese(images, folders=opening.folders, problems=problems)))
    return file if isinstance(file, Opened) else with_b1(file, Path(images[0]), opening, required=False)


def _protocol(acquisition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the number of echoes and their spacing."""
    times = [1e3 * float(time) for time in acquisition.get("EchoTime") or ()]
    return (f"{len(times)} spin echoes at {times[0]:.3g} to {times[-1]:.3g} ms",) if times else ()


MODALITY = Modality(
    name="mese",
    step=STEP,
    title="Transverse relaxation",
    data="Multi-echo spin echoes",
    absent="no multi-echo spin echoes",
    datatype=SESSION.datatype,
    suffixes=SUFFIXES,
    queries={"mese": SUFFIXES},
    group=group,
    open=_open,
    sections=SECTIONS,
    plan=SESSION.plan,
    files=SESSION.files,
    reconstruct=SESSION.reconstruct,
    products=SESSION.products,
    rows=ROWS,
    reference=REFERENCE,
    measures=SESSION.measures,
    ignored=("*_R2primemap.*",),
    protocol=_protocol,
    dicom=DICOM,
    drawing=DRAWING,
    warm_up=warm_up,
)
