"""A modality in sixty lines: images of suffix PDw, one stage, one map, DICOM import and virtual heads."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from qsmengine.data import Map
from qsmengine.io.bids import BidsName
from qsmengine.modalities.dicom import DicomSeries, Verdict
from qsmengine.modalities.modality import Row
from qsmengine.modalities.simple import simple_modality
from qsmengine.modalities.style import Style
from qsmengine.phantom.drawing import Drawing
from qsmengine.phantom.volumes import write_volume
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
        stage="relative-density", name="relative", run=relative,
        params=Params, inputs=("image",), outputs={"pd": "1", "pd_mask": "1"}, summary="Relative signal",
        doi="10.1002/mrm.0", bytes_per_voxel=8,
    ),
)  # fmt: skip
STAGE = Stage("relative-density", "Proton density.", ("tests.modalities.toy.description",), default="relative")


def recognise(scan, others):
    return Verdict("PDw" if "proton density" in scan.names else "")


DICOM = DicomSeries(("PDw",), recognise, folder="anat")


def simulate(scene):
    return Map(scene.anatomy.tissue.m0, "1", scene.grid), {}


def add_noise(series, snr, reference, rng):
    sigma = series.array[reference].mean() / snr
    return replace(series, array=series.array + rng.normal(0, sigma, series.array.shape).astype(np.float32))


def write(series, session, entities, settings):
    write_volume(session / "anat", BidsName(entities, "PDw"), series.array, series.grid, {})


DRAWING = Drawing("toy", "pd", 9, simulate, add_noise, write, images="anat/*_PDw.*")
MODALITY = simple_modality(
    name="toy", step="pd", title="Proton density", data="Proton-density-weighted images", datatype="anat",
    suffixes=("PDw",), stages=(Use("relative_density"),),
    products=(
        Product("pd", "densitymap", {}, "relative proton density", Support("pd_mask")),
        Product("pd_mask", "mask", {"desc": "pd"}, "voxels with signal"),
    ),
    rows=(Row("densitymap.nii.gz", "proton density", Style("gray", (0, 1), "")),),
    ignored=("*_densitymap.*",),
    references={"10.1002/mrm.0": "Toy and Toy 1999"},
    sentences={"relative-density/relative": {"text": "Proton density is the signal over its maximum"}},
    dicom=DICOM,
    drawing=DRAWING,
)  # fmt: skip
