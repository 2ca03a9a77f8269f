import csv

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.cohort.plan.model import Step
from qsmengine.cohort.work.regional_maps import region_limits
from qsmengine.cohort.work.tabulate import write_table
from qsmengine.cohort.work.tasks import Place
from qsmengine.grid import Grid
from qsmengine.io.atomic import write_json
from qsmengine.io.nifti import write_image
from qsmengine.modalities.registry import all_modalities

GRID = Grid.from_voxel_size((8, 8, 8), (1.0, 1.0, 1.0))
QSM = ("sub-1/anat/sub-1_Chimap.nii.gz", "sub-1/anat/sub-1_R2starmap.nii.gz",
       "sub-1/anat/sub-1_desc-reliable_mask.nii.gz", "sub-1/anat/sub-1_desc-brain_mask.nii.gz")  # fmt: skip
DTI = tuple(f"sub-1/dwi/sub-1_model-tensor_param-{p}_dwimap.nii.gz" for p in ("fa", "status"))


@pytest.fixture
def table(tmp_path):
    """Table of a region that lies half outside of every map's own mask, where maps hold zeros."""
    rng = np.random.default_rng(4)
    values = rng.uniform(1, 2, GRID.shape).astype("f4")
    masks = {"chi": np.arange(8) < 4, "r2star": np.arange(8) < 6, "fa": np.arange(8) > 2}
    masks = {name: np.broadcast_to(part[:, None, None], GRID.shape) for name, part in masks.items()}
    images = {
        QSM[0]: values * masks["chi"], QSM[1]: values * masks["r2star"], QSM[2]: masks["chi"].astype("u1"),
        QSM[3]: masks["r2star"].astype("u1"), DTI[0]: values * masks["fa"],
        DTI[1]: np.where(masks["fa"], 1, 3).astype("u1"),
    }  # fmt: skip
    for name, array in images.items():
        write_image(tmp_path / "out" / name, array, GRID)
        write_json(tmp_path / "out" / name.replace(".nii.gz", ".json"), {"Units": "1"})
    write_image(tmp_path / "bids" / "dseg.nii.gz", np.full(GRID.shape, 16, np.int16), GRID)
    step = Step(
        name="regions", kind="regions", inputs={"labels": ("dseg.nii.gz",)},
        outputs=("sub-1/anat/sub-1_desc-dgm_stats.tsv",), options={"lut": "freesurfer-aseg"},
    )  # fmt: skip
    before = {"qsm": QSM, "dti": DTI}
    place = Place(tmp_path / "bids", tmp_path / "out", tmp_path / "s", cpu(1))
    (path, *_) = sorted(write_table(step, place, before)[0])[::-1]
    rows = list(csv.DictReader((tmp_path / "out" / path).read_text().splitlines(), delimiter="\t"))
    return values, masks, next(row for row in rows if row["n_voxels"] == "512")


@pytest.mark.parametrize("name", ["chi", "r2star", "fa"])
def test_zeros_outside_of_a_map_s_mask_do_not_count(table, name):
    values, masks, row = table
    assert float(row[f"{name}_mean"]) == pytest.approx(values[masks[name]].mean(), rel=1e-5)
    assert int(row[f"{name}_n_valid"]) == masks[name].sum()
    assert float(row[f"{name}_coverage"]) == pytest.approx(masks[name].mean())


def test_volume_is_that_of_the_whole_region(table):
    assert float(table[2]["volume_mm3"]) == 512


def test_every_map_of_the_tables_has_its_limit_among_those_of_its_modality():
    assert any(product.region is not None for modality in all_modalities() for product in modality.products)
    for modality in all_modalities():
        maps = {product.map for product in modality.products}
        limits = {product.region.limit for product in modality.products if product.region is not None}
        assert limits <= maps


def test_limit_is_of_the_same_series_as_the_map():
    other = tuple(name.replace("sub-1_", "sub-1_run-2_") for name in QSM)
    limits = region_limits([QSM[:2], other, DTI])
    assert set(limits) == {"fa"}
    limits = region_limits([other, QSM])
    assert limits["chi"] == (other[2], (0,))
