"""Description of T1-weighted images as a modality."""

from __future__ import annotations

from dataclasses import replace

from qsmengine.errors import DeviceError, InputError
from qsmengine.io.structural import StructuralFile, open_structural
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Row
from qsmengine.modalities.placed import Structures
from qsmengine.modalities.session import opened
from qsmengine.modalities.style import Style
from qsmengine.modalities.t1w.dicom import DICOM
from qsmengine.modalities.t1w.flair import open_flair
from qsmengine.modalities.t1w.quality import MEASURES
from qsmengine.modalities.t1w.series import COMPANIONS, FLAIR, IMAGE, LESIONS, STEP, SUFFIXES, group
from qsmengine.modalities.t1w.session import SESSION, protocol
from qsmengine.modalities.t1w.stages import SECTIONS
from qsmengine.modalities.t1w.warm_up import warm_up
from qsmengine.phantom.structural_drawing import DRAWING

MASK = "desc-t1wbrain_mask.nii.gz"
ROWS = (
    Row(
        "desc-brain_T1w.nii.gz", "T1-weighted image, grey matter outlined", "magnitude",
        outlines="label-GM_probseg.nii.gz",
        caption="The outlines follow the cortex and the nuclei, without dura or eyes.",
        measures=("contrast_to_noise", "brain_volume"),
    ),
    Row(
        "desc-brain_T1w.nii.gz", "T1-weighted image, deep grey matter outlined", "magnitude",
        outlines="desc-dgm_dseg.nii.gz",
        caption="The outlines follow the nuclei on both sides.",
        measures=("unreliable_structures",),
    ),
    Row("label-GM_probseg.nii.gz", "grey matter", Style("gray", (0.0, 1.0), ""), mask=MASK),
    Row("label-WM_probseg.nii.gz", "white matter", Style("gray", (0.0, 1.0), ""), mask=MASK),
    Row("label-CSF_probseg.nii.gz", "cerebrospinal fluid", Style("gray", (0.0, 1.0), ""), mask=MASK),
    Row(
        "desc-dgm_dseg.nii.gz", "deep grey matter", Style("viridis", (0.0, 60.0), ""), mask=MASK,
        caption="Labels of the deep grey matter. In a good one both sides are complete and equally large.",
    ),
    Row(
        "desc-lesionscreening_mask.nii.gz", "candidates for lesions in the FLAIR image, screening only",
        Style("gray", (0.0, 1.0), ""), mask=MASK, layout="lightbox", measures=("flair_refused",),
        flicker="desc-brain_T1w.nii.gz", flicker_label="the T1-weighted image",
        caption="Candidates for lesions of white matter. Compare each with the FLAIR image.",
    ),
)  # fmt: skip


def _open(parts: Parts, _: Opening) -> Opened:
    def read(_problems: list[InputError]) -> StructuralFile:
        return open_structural(parts[IMAGE][0])

    file = opened(read)
    if isinstance(file, Opened):
        return file
    found = Opened(file.grid, file.n_volumes)
    try:
        for path in parts.get(FLAIR, ()):
            open_flair(path, file.grid)
    except (InputError, DeviceError) as error:
        return replace(found, notes=(f"{error}; the FLAIR image is not used",), unused=(FLAIR,))
    return found


MODALITY = Modality(
    name="t1w",
    step=STEP,
    title="Anatomy",
    data="T1-weighted images",
    absent="no T1-weighted image",
    datatype=SESSION.datatype,
    suffixes=SUFFIXES,
    queries={"t1w": SUFFIXES, "flair": tuple(COMPANIONS.values())},
    group=group,
    open=_open,
    sections=SECTIONS,
    plan=SESSION.plan,
    files=SESSION.files,
    reconstruct=SESSION.reconstruct,
    products=SESSION.products,
    rows=ROWS,
    measures=MEASURES,
    ignored=("*_volumes.*",),
    optional_roles=(LESIONS,),
    companions=COMPANIONS,
    protocol=protocol,
    structures=Structures(
        "desc-brain_T1w.nii.gz", "desc-dgm_dseg.nii.gz", "desc-dgm_dseg.tsv", "freesurfer-aseg"
    ),
    drawing=DRAWING,
    dicom=DICOM,
    warm_up=warm_up,
)
