"""Steps that work on the results of modalities: registration with the T1-weighted image, and region tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from qsmengine.modalities.modality import Row
from qsmengine.modalities.style import Style
from qsmengine.records import record


@record
class Derived:
    """Description of a step that has no raw images.

    Parameters
    ----------
    step
        Name in plans, ledgers, ``--steps`` and provenance files.
    title, data, verb
        Heading of reports; subject and participle of the methods section: `data` of 3 sessions were `verb`.
    absent
        Reason why a session has no such step.
    rows
        Pictures of a session's page.
    sentences, references
        As of a :class:`~qsmengine.modalities.modality.Modality`.
    """

    step: str
    title: str
    data: str
    verb: str
    absent: str
    rows: tuple[Row, ...] = ()
    sentences: Mapping[str, Any] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)


REFERENCE = "desc-reference_*.nii.gz"
_SENTENCE = (
    "The brain of the T1-weighted image was registered rigidly with each series by mutual information (ANTs), "
    "also as its mirror image; registrations were refused where less than {overlap} of the smaller head lay "
    "inside the larger one, edges agreed by less than {edges}, or the image fitted less than {mirror} times as "
    "well as its mirror image; regional means were weighted by the part of each voxel that a structure covers"
)
_ALSO = {
    "when": "another_session",
    "text": "with the first T1-weighted image of the subject where a session has none",
}
MOVED = "desc-brain_T1w.nii.gz"
REGISTRATION = Derived(
    "registration",
    "Registration",
    "Structures segmented in T1-weighted images",
    "brought to the grid of the maps",
    "no T1-weighted image to register with, or labels on the grid of every series",
    (
        Row(
            REFERENCE, "reference of the series", "magnitude", mask=MOVED, flicker=MOVED,
            flicker_label="registered T1-weighted image",
            caption="Edge of the brain, ventricles, and sulci stay in place when the images change. "
            "The line is the edge of the registered brain.",
        ),
        Row(
            REFERENCE, "reference of the series, deep grey matter outlined", "magnitude",
            mask=MOVED, outlines="desc-dgm_dseg.nii.gz",
            caption="The outlines follow the nuclei of this image, too.",
        ),
    ),
    {"registration/rigid": {"text": _SENTENCE, "also": [_ALSO]}},
    {"10.1016/j.neuroimage.2010.09.025": "Avants et al. 2011"},
)  # fmt: skip
ATLAS = Derived(
    "atlas",
    "Atlas",
    "Nuclei of atlases",
    "brought to susceptibility maps",
    "no series with a susceptibility map that is registered with a T1-weighted image",
    (
        Row(
            "Chimap.nii.gz", "susceptibility, nuclei of the atlas outlined", "chi",
            outlines="seg-*_dseg.nii.gz",
            caption="The outlines follow pallidum, red nucleus, and substantia nigra, or lie in the thalamus.",
        ),
        Row(
            "seg-thalamushcp_dseg.nii.gz", "nuclei of the thalamus", Style("viridis", (0.0, 15.0), ""),
            flicker="Chimap.nii.gz", flicker_label="susceptibility",
            caption="Labels of the thalamic nuclei: 1 to 7 on the left, 8 to 14 on the right.",
        ),
    ),
    {
        "atlas/syn": {
            "text": "Nuclei of atlases were warped from the template {template} to each head (ANTs SyN, mutual "
            "information) by the T1-weighted images, the segmented thalamus, caudate, putamen, and pallidum, "
            "and the susceptibility map with one drawn from the atlases; the nuclei of a side were not used "
            "where these structures overlapped too little with those of the atlas; means were weighted by the "
            "part of each voxel that a nucleus covers",
            "also": [
                {"when": "cit168", "text": "with the nuclei of CIT168", "doi": "10.1038/sdata.2018.63"},
                {"when": "thalamus_hcp", "text": "with thalamic nuclei", "doi": "10.1038/sdata.2018.270"},
            ],
        }
    },
    {
        "10.1016/j.media.2007.06.004": "Avants et al. 2008",
        "10.1038/sdata.2018.63": "Pauli et al. 2018",
        "10.1038/sdata.2018.270": "Najdenovska et al. 2018",
    },
)  # fmt: skip
REGIONS = Derived(
    "regions",
    "Regions",
    "Maps",
    "tabulated",
    "no segmentation on the grid of a series",
)
DERIVED = (REGISTRATION, ATLAS, REGIONS)
