"""Maps of a T1-weighted image and their files."""

from __future__ import annotations

from qsmengine.pipeline.outputs.products import Product

PRODUCTS = (
    Product("gm", "probseg", {"label": "GM"}, "fraction of grey matter"),
    Product("wm", "probseg", {"label": "WM"}, "fraction of white matter"),
    Product("csf", "probseg", {"label": "CSF"}, "fraction of cerebrospinal fluid"),
    Product("corrected", "T1w", {"desc": "brain"}, "image without its receive field, 0 outside the brain"),
    Product("dgm", "dseg", {"desc": "dgm"}, "labels of the deep grey matter, in the numbers of FreeSurfer"),
    Product(
        "screening",
        "mask",
        {"desc": "lesionscreening"},
        "screening only: candidates for lesions of white matter in the FLAIR image; look at each",
    ),
    Product("brain_mask", "mask", {"desc": "t1wbrain"}, "brain"),
)
