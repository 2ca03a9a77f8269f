"""A modality in forty lines: images of suffix PDw, one stage, one map."""

from typing import NamedTuple

import numpy as np

from qsmengine.modalities.modality import Row
from qsmengine.modalities.simple import simple_modality
from qsmengine.pipeline.outputs.products import Product, Support
from qsmengine.pipeline.run.plan import Use
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params
from qsmengine.stages.stage import Stage


class Result(NamedTuple):
    pd: np.ndarray
    pd_mask: np.ndarray


def relative(image, *, grid, params, device):
    return Result(image / np.float32(float(image.max())), image > 0)


METHODS = (
    Method(
        stage="proton-density", name="relative", run=relative,
        params=Params, inputs=("image",), outputs={"pd": "1", "pd_mask": "1"}, summary="Relative signal",
        doi="10.1002/mrm.0", bytes_per_voxel=8,
    ),
)  # fmt: skip
STAGE = Stage("proton-density", "Proton density.", ("tests.modalities.toy.description",), default="relative")
MODALITY = simple_modality(
    name="pdw", step="pd", title="Proton density", data="Proton-density-weighted images", datatype="anat",
    suffixes=("PDw",), stages=(Use("proton_density"),),
    products=(
        Product("pd", "PDmap", {}, "relative proton density", Support("pd_mask")),
        Product("pd_mask", "mask", {"desc": "pd"}, "voxels with signal"),
    ),
    rows=(Row("PDmap.nii.gz", "proton density", "magnitude"),),
    sentences={"proton-density/relative": {"text": "Proton density is the signal over its maximum"}},
)  # fmt: skip
