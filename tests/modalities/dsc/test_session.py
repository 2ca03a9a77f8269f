import json

import numpy as np
import pytest

from qsmengine.backend.device import Device
from qsmengine.errors import DeviceError, InputError, UsageError
from qsmengine.io.nifti import read_image
from qsmengine.modalities.dsc.aif_file import read_aif
from qsmengine.modalities.dsc.session import SESSION, DscRequest
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.report.curves import draw_curve
from qsmengine.report.records import find_series
from qsmengine.report.session_figures import curves_of
from tests.modalities.dsc.making import BOLUS, GREY, brain, write, write_mask

CPU = Device("cpu", threads=2)
MOTION = load_config(settings=["input.motion=true"])


@pytest.fixture(scope="module")
def files(made, tmp_path_factory):
    """Image, mask and white matter on disk."""
    folder = tmp_path_factory.mktemp("raw")
    (image,) = write(folder, made)
    masks = [write_mask(folder / f"{n}.nii.gz", m) for n, m in (("mask", made.mask), ("wm", made.white))]
    return image, *masks


@pytest.fixture(scope="module")
def outcome(files, tmp_path_factory):
    image, mask, white = files
    request = DscRequest((image,), tmp_path_factory.mktemp("out"), mask=mask, relative_to=white)
    return SESSION.run(request, load_config(), CPU)


def test_a_session_writes_maps_masks_and_the_artery(outcome, made):
    names = {path.name for path in outcome.files}
    expected = [
        "CBV",
        "CBF",
        "MTT",
        "Tmax",
        "TTP",
        "K2",
        "desc-relative_CBV",
        "desc-aif_mask",
        "desc-brain_mask",
    ]
    assert {f"perf_{name}.{end}" for name in expected for end in ("nii.gz", "json")} <= names
    assert {"perf_aif.tsv", "perf_aif.json", "perf_desc-dsc_prov.json", "dataset_description.json"} <= names
    folder = outcome.files[0].parent
    assert all(path.is_file() for path in outcome.files)
    assert {path.name for path in folder.iterdir()} == names
    cbv = read_image(folder / "perf_CBV.nii.gz").array
    assert cbv[made.grey].mean() == pytest.approx(GREY.cbv, rel=0.06)


def test_sidecars_give_units_times_and_method(outcome):
    folder = outcome.files[0].parent
    sidecar = json.loads((folder / "perf_CBF.json").read_text())
    assert sidecar["Units"] == "mL/100 g/min"
    assert (sidecar["EchoTimes"], sidecar["RepetitionTime"]) == ([0.03], 1.5)
    assert sidecar["EstimationAlgorithm"] == "common_shape"
    record = json.loads((folder / "perf_desc-dsc_prov.json").read_text())
    assert [step["Stage"] for step in record["Steps"]] == ["contrast", "aif", "leakage", "deconvolution"]
    assert record["Acquisition"]["Artery"]["voxels"] > 0
    assert record["Acquisition"]["ResidueFunction"]["residue_shape"] == 1
    assert record["Acquisition"]["BolusArrival"] == pytest.approx(BOLUS.arrival, abs=3.1)
    assert len(record["Inputs"]) == 4


def test_the_written_curve_can_be_given_again(outcome, files, tmp_path):
    image, mask, _ = files
    folder = outcome.files[0].parent
    curve = folder / "perf_aif.tsv"
    read = read_aif(curve, np.arange(50, dtype=float) * 1.5)
    assert np.abs(read - outcome.result.aif).max() < 1e-4 * read.max()
    again = SESSION.run(DscRequest((image,), tmp_path, mask=mask, aif=curve), load_config(), CPU)
    np.testing.assert_allclose(again.result["cbv"], outcome.result["cbv"], rtol=1e-3, atol=1e-3)


def test_the_written_voxels_can_be_given_again(outcome, files, tmp_path):
    image, mask, _ = files
    voxels = outcome.files[0].parent / "perf_desc-aif_mask.nii.gz"
    again = SESSION.run(DscRequest((image,), tmp_path, mask=mask, aif_mask=voxels), load_config(), CPU)
    np.testing.assert_array_equal(again.result["cbv"], outcome.result["cbv"])


def test_a_dry_run_names_the_files_and_writes_none(files, outcome, tmp_path):
    image, mask, white = files
    request = DscRequest((image,), tmp_path, mask=mask, relative_to=white)
    planned = SESSION.run(request, load_config(), CPU, dry_run=True)
    assert {path.name for path in planned.files} == {path.name for path in outcome.files}
    assert not list(tmp_path.iterdir())


def test_two_echoes_may_be_given_in_any_order(tmp_path, rng):
    made = brain(rng, times=(0.012, 0.03))
    first, second = write(tmp_path / "raw", made)
    mask = write_mask(tmp_path / "mask.nii.gz", made.mask)
    results = [
        SESSION.run(DscRequest(pair, tmp_path / str(n), mask=mask), load_config(), CPU).result
        for n, pair in enumerate([(first, second), (second, first)])
    ]
    np.testing.assert_array_equal(results[0]["cbv"], results[1]["cbv"])
    assert (tmp_path / "0" / "perf_CBV.nii.gz").is_file()


def test_existing_outputs_inputs_and_contradictions_are_refused(files, outcome, tmp_path):
    image, mask, white = files
    folder = outcome.files[0].parent
    with pytest.raises(UsageError, match="exist"):
        SESSION.run(DscRequest((image,), folder, mask=mask), load_config(), CPU)
    both = DscRequest((image,), tmp_path, aif=folder / "perf_aif.tsv", aif_mask=white)
    with pytest.raises(UsageError, match="not both"):
        SESSION.run(both, load_config(), CPU)
    outside = tmp_path / "outside.nii.gz"
    write_mask(outside, ~read_image(mask, dtype=np.uint8).array.astype(bool))
    with pytest.raises(InputError, match="does not overlap"):
        SESSION.run(DscRequest((image,), tmp_path / "o", mask=mask, relative_to=outside), load_config(), CPU)


def test_motion_correction_without_its_library_is_refused_before_maps_are_written(files, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ants", None)
    image, mask, _ = files
    with pytest.raises(DeviceError, match=r"pip install 'qsmengine\[registration\]'"):
        SESSION.run(DscRequest((image,), tmp_path, mask=mask), MOTION, CPU)
    assert not list(tmp_path.iterdir())


def test_motion_is_reported_with_the_maps(files, tmp_path, monkeypatch):
    from qsmengine.modalities.dsc import motion, session

    moves = iter(np.linspace(0.0, 0.49, 50))

    def still(*_):
        matrix = np.eye(4)
        matrix[0, 3] = next(moves)
        return matrix

    original = motion.correct_motion
    monkeypatch.setattr(session, "correct_motion", lambda *a, **k: original(*a, **{**k, "find": still}))
    image, mask, _ = files
    found = SESSION.run(DscRequest((image,), tmp_path, mask=mask), MOTION, CPU)
    assert any("0.01 mm in the mean" in note for note in found.notes)
    record = json.loads((tmp_path / "perf_desc-dsc_prov.json").read_text())
    found = record["Acquisition"]["FramewiseDisplacement"]
    assert found[1] == pytest.approx(0.01, abs=1e-4)
    rows = (tmp_path / "perf_aif.tsv").read_text().splitlines()
    assert rows[0].split("\t")[-1] == "displacement"
    np.testing.assert_allclose([float(row.split("\t")[-1]) for row in rows[1:]], found, atol=1e-4)
    assert json.loads((tmp_path / "perf_aif.json").read_text())["displacement"]["Units"] == "mm"
    (series,) = find_series(tmp_path)
    (_, artery), (_, displaced) = curves_of(series)
    (axes,) = draw_curve(displaced, "Perfusion").axes
    np.testing.assert_allclose(np.asarray(axes.get_lines()[0].get_ydata()), found, atol=1e-4)
    assert artery.value == ""


def test_series_that_were_not_registered_have_no_curve_of_motion(files, tmp_path):
    image, mask, _ = files
    SESSION.run(DscRequest((image,), tmp_path, mask=mask), load_config(), CPU)
    (series,) = find_series(tmp_path)
    assert [curve.label for curve, _ in curves_of(series)] == ["dR2* of the artery"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t\tc\n0\t1\n", "no columns time"),
        ("time\tdr2star\n0\tx\n1\t2\n", "line 2: 'x' is not a number"),
        ("time\tdr2star\n0\tnan\n1\t2\n", "line 2: 'nan' is not a number"),
        ("time\tdr2star\n0\t1\n0\t2\n", "do not ascend"),
        ("time\tdr2star\n0\t1\n9\t2\n", r"covers 0 \.\. 9 s, the series 0 \.\. 30 s"),
        ("time\tdr2star\n", "0 rows"),
    ],
)
def test_curves_that_cannot_be_used_are_refused(tmp_path, text, said):
    path = tmp_path / "aif.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"aif\.tsv: .*{said}"):
        read_aif(path, np.arange(0, 31.5, 1.5))
    with pytest.raises(InputError, match=r"none\.tsv: cannot be read"):
        read_aif(tmp_path / "none.tsv", np.arange(0, 31.5, 1.5))


def test_a_curve_on_other_times_is_interpolated(tmp_path):
    path = tmp_path / "aif.tsv"
    path.write_text("time\tdr2star\n" + "\n".join(f"{t}\t{3 * t}" for t in np.arange(0, 40, 0.7)) + "\n")
    np.testing.assert_allclose(read_aif(path, np.arange(0, 31.5, 1.5)), 3 * np.arange(0, 31.5, 1.5))
