"""Description of bolus series as a modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qsmengine.io.dsc import open_dsc
from qsmengine.modalities.dsc.aif_file import DISPLACEMENT
from qsmengine.modalities.dsc.companions import AIF, AIF_MASK, companions
from qsmengine.modalities.dsc.dicom import DICOM
from qsmengine.modalities.dsc.reference import REFERENCE
from qsmengine.modalities.dsc.series import FIRST, SECOND, STEP, SUFFIXES, group
from qsmengine.modalities.dsc.session import SESSION
from qsmengine.modalities.dsc.stages import SECTIONS
from qsmengine.modalities.dsc.warm_up import warm_up
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Row
from qsmengine.modalities.session import opened
from qsmengine.modalities.style import Curve, Style
from qsmengine.phantom.dsc_drawing import DRAWING

_SECONDS = Style("viridis", (0.0, 10.0), "s")
_GREY = "Two to three times larger in grey than in white matter; vessels are brightest."
ROWS = (
    Row(
        "CBV.nii.gz",
        "blood volume",
        Style("inferno", (0.0, 8.0), "mL/100 g"),
        caption=_GREY,
        measures=("bolus_to_noise",),
    ),
    Row("CBF.nii.gz", "blood flow", Style("inferno", (0.0, 80.0), "mL/100 g/min"), caption=_GREY),
    Row(
        "MTT.nii.gz",
        "mean transit time",
        _SECONDS,
        caption="Even in healthy tissue.",
        measures=("translation", "displacement"),
    ),
    Row("Tmax.nii.gz", "Tmax", _SECONDS, caption="Both sides alike; late territories are bright."),
    Row("delay.nii.gz", "delay", _SECONDS),
    Row("K2.nii.gz", "leakage K2", Style("gray", (-0.02, 0.02), "1/s")),
)
CURVES = (
    Curve(
        "aif.tsv",
        "dR2* of the artery",
        "1/s",
        voxels="desc-aif_mask.nii.gz",
        under="CBV.nii.gz",
        second="brain_dr2star",
        second_label="dR2* of the brain",
        caption="The artery rises first and falls fast; the brain follows. Neither drifts before the bolus.",
        measures=("aif_peak_to_noise", "aif_width", "aif_lead", "aif_brain_share", "aif_voxels"),
    ),
    Curve(
        "aif.tsv",
        "framewise displacement",
        "mm",
        value=DISPLACEMENT,
        caption="Motion between neighbouring frames, from their registration to the baseline; it was "
        "corrected. Peaks during the passage of the bolus may also be the agent.",
        measures=("displacement", "translation"),
    ),
)


def _open(parts: Parts, opening: Opening) -> Opened:
    images = [path for role in (FIRST, SECOND) for path in parts.get(role, ())]
    file = opened(lambda problems: open_dsc(images, folders=opening.folders, problems=problems))
    if isinstance(file, Opened):
        return file
    given, notes = companions(images[0])
    if {AIF, AIF_MASK} <= given.keys():
        return Opened(None, problems=(f"{images[0]}: both a curve and a mask of the artery lie in its folder",))
    return Opened(file.grid, file.n_volumes, given, (*file.notes, *notes))


def _protocol(acquisition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return echo times and the time between frames."""
    times, step = acquisition.get("EchoTimes") or (), acquisition.get("RepetitionTime")
    found = []
    if times:
        named = " and ".join(f"{1e3 * float(time):.3g}" for time in times)
        found.append(f"{'echo times' if len(times) > 1 else 'echo time'} {named} ms")
    if step:
        found.append(f"{float(step):.3g} s between frames")
    return tuple(found)


MODALITY = Modality(
    name="dsc",
    step=STEP,
    title="Perfusion",
    data="Bolus series with contrast agent",
    absent="no bolus series with contrast agent",
    datatype=SESSION.datatype,
    suffixes=SUFFIXES,
    queries={"dsc": SUFFIXES},
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
    curves=CURVES,
    outside_bids=("dsc", "perf"),
    ignored=(SESSION.datatype,),
    protocol=_protocol,
    dicom=DICOM,
    drawing=DRAWING,
    warm_up=warm_up,
)
