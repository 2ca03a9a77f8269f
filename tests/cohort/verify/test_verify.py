"""A folder of results is recomputed and compared; nothing in it changes, and every obstacle is named."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from qsmengine.backend.cpu import CHOICE, variants
from qsmengine.cli.main import main
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.cohort.verify.compare import compare_maps
from qsmengine.cohort.verify.recorded import recorded_series
from qsmengine.errors import InputError
from qsmengine.io import read_image, write_image
from qsmengine.pipeline.configuration.config import load_config
from tests.cohort.making import Dataset
from tests.cohort.small import SETTINGS, write_cohort

CHI = "sub-00/anat/sub-00_Chimap.nii.gz"
PROVENANCE = "sub-00/anat/sub-00_desc-qsm_prov.json"
SERIAL = RunSettings(workers=0, device="cpu", threads=1)


def reconstruct(bids, out, **options):
    plan = plan_cohort(bids, out, load_config(preset="fast", settings=SETTINGS), **options)
    assert run_cohort(plan, SERIAL).exit_code == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset of one session with echoes and diffusion, and its results; only read."""
    folder = tmp_path_factory.mktemp("verify")
    reconstruct(write_cohort(folder / "bids", 1, dwi=True), folder / "out")
    return folder


@pytest.fixture
def results(made, tmp_path):
    """A copy of the results, which links to the same raw dataset."""
    return shutil.copytree(made / "out", tmp_path / "out")


def state(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def verify(capsys, *arguments):
    code = main(["verify", *map(str, arguments), "--device", "cpu", "--threads", "1"])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_same_device_gives_the_same_maps_and_changes_nothing(made, capsys):
    before = state(made / "out")
    code, text = verify(capsys, made / "out", "--tolerance", 0, "-v")
    assert code == 0, text
    assert "2 of 2 within 0" in text
    assert "qsm: Chimap.nii.gz" in text
    assert "0 ppm, relative 0  sub-00" in text
    assert "desc-reliable_mask.nii.gz: 0 voxels" in text
    assert state(made / "out") == before


def test_changed_map_is_named_with_its_difference(results, capsys):
    array, grid, _ = read_image(results / CHI)
    array[tuple(np.argwhere(array)[0])] += 1.0
    write_image(results / CHI, array, grid)
    code, text = verify(capsys, results)
    assert code == 1
    assert "above 0.01: sub-00_Chimap.nii.gz: 1 ppm" in text
    assert "1 of 2 within 0.01" in text


def test_missing_changed_and_moved_raw_data(made, results, tmp_path, capsys):
    moved = shutil.copytree(made / "bids", tmp_path / "moved")
    description = json.loads((results / "dataset_description.json").read_text())
    description["DatasetLinks"]["raw"] = (tmp_path / "gone").as_uri()
    (results / "dataset_description.json").write_text(json.dumps(description))
    code, text = verify(capsys, results)
    assert code == 1
    assert "the raw dataset that it links to is not here; name it with --bids" in text
    assert verify(capsys, results, "--bids", moved)[0] == 0
    sidecar = moved / "sub-00/anat/sub-00_echo-1_part-mag_MEGRE.json"
    sidecar.write_text(sidecar.read_text() + " ")
    (moved / "sub-00/dwi/sub-00_dwi.bval").unlink()
    code, text = verify(capsys, results, "--bids", moved)
    assert code == 1
    assert f"{sidecar}: raw input has changed since the maps were made" in text
    assert "sub-00_dwi.bval: raw input not found" in text
    assert "0 of 2 within" in text


def test_new_raw_image_that_would_change_the_plan_is_named(made, results, tmp_path, capsys):
    moved = shutil.copytree(made / "bids", tmp_path / "moved")
    later = {"mag": lambda image: 0.9 * image, "phase": lambda image: np.angle(np.exp(14j / 9 * image))}
    for part, change in later.items():
        second, third = (moved / f"sub-00/anat/sub-00_echo-{n}_part-{part}_MEGRE.nii.gz" for n in (2, 3))
        image, grid, _ = read_image(second)
        write_image(third, change(image).astype(np.float32), grid)
        sidecars = [path.with_name(path.name.replace(".nii.gz", ".json")) for path in (second, third)]
        sidecars[1].write_text(sidecars[0].read_text().replace("0.009", "0.014"))
    code, text = verify(capsys, results, "--bids", moved)
    assert code == 1
    assert "the session is now planned with other files: sub-00_echo-3_part-mag_MEGRE.json" in text, text


def test_configuration_and_version_of_the_record(results, capsys):
    record = json.loads((results / PROVENANCE).read_text())
    record["Software"]["qsmengine"] = "0.0.9"
    (results / PROVENANCE).write_text(json.dumps(record))
    code, text = verify(capsys, results)
    assert code == 0
    assert "sub-00, qsm: made with qsmengine 0.0.9, this is" in text
    record["Configuration"]["inversion"]["method"] = "unknown"
    (results / PROVENANCE).write_text(json.dumps(record))
    code, text = verify(capsys, results)
    assert code == 1
    assert f"{results / PROVENANCE}: Configuration: not understood by this version" in text
    del record["Configuration"]
    (results / PROVENANCE).write_text(json.dumps(record))
    code, text = verify(capsys, results)
    assert code == 1
    assert f"{results / PROVENANCE}: Configuration: not found" in text


def test_echo_times_of_the_command_line_are_found_in_the_record(tmp_path, capsys):
    bids = write_cohort(tmp_path / "bids", 1)
    for sidecar in bids.glob("sub-00/anat/*.json"):
        sidecar.unlink()
    reconstruct(bids, tmp_path / "out", echo_times=(0.004, 0.009), field_strength=3.0)
    code, text = verify(capsys, tmp_path / "out", "--tolerance", 0, "--participant-label", "00")
    assert code == 0, text


def test_echo_times_of_the_command_line_replace_those_of_sidecars(tmp_path, capsys):
    bids = write_cohort(tmp_path / "bids", 1)
    reconstruct(bids, tmp_path / "out", echo_times=(0.005, 0.01))
    code, text = verify(capsys, tmp_path / "out", "--tolerance", 0)
    assert code == 0, text


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match="missing: no such folder"):
        recorded_series(tmp_path / "missing")


def test_labels_and_folders_that_do_not_exist(made, tmp_path, capsys):
    assert verify(capsys, made / "out", "--participant-label", "0")[0] == 2
    assert verify(capsys, tmp_path)[0] == 3
    assert verify(capsys, made / "out", "--tolerance", -1)[0] == 2


@pytest.mark.skipif(len(variants()) < 2, reason="this processor runs one variant of the CPU library")
def test_other_variant_agrees_with_the_one_that_made_the_maps(made):
    command = [sys.executable, "-m", "qsmengine", "verify", str(made / "out"), "--participant-label", "00"]
    chosen = {**os.environ, CHOICE: variants()[-1]}
    done = subprocess.run(command, env=chosen, capture_output=True, text=True, check=False)
    line = next(line for line in done.stdout.splitlines() if line.startswith("qsm: Chimap.nii.gz"))
    assert float(line.split("relative ")[1].split()[0]) < 1e-3, done.stdout
    wrong = subprocess.run(
        command, env={**os.environ, CHOICE: "v9"}, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 1
    assert f"{CHOICE}=v9: this processor can run" in wrong.stdout


def difference(tmp_path, first, second, unit=None):
    dataset = Dataset(tmp_path)
    for name, array in (("a", first), ("b", second)):
        write_image(tmp_path / f"{name}.nii.gz", array, dataset.grid)
    if unit:
        dataset.put("a.json", {"Units": unit})
    return compare_maps(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")


def test_measures_of_a_difference(tmp_path):
    rng = np.random.default_rng(1)
    first = rng.normal(0.0, 1.0, (7, 6, 5)).astype(np.float32)
    second = first.copy()
    second[0, 0, 0] += 0.5
    second[1, 1, 1] = 0.0
    found = difference(tmp_path, first, second, "ppm")
    spread = np.subtract(*np.percentile(first, [95, 5]))
    assert found.largest == pytest.approx(0.5, rel=1e-6)
    assert found.relative == pytest.approx(0.5 / spread, rel=1e-6)
    assert found.unshared == pytest.approx(1 / 210)
    assert str(found).startswith("0.5 ppm, relative ")
    second[1, 1, 1] = np.nan
    assert difference(tmp_path, first, second).worst == np.inf
    constant = np.full((7, 6, 5), 2.0, np.float32)
    assert difference(tmp_path, constant, constant + np.float32(2e-3)).relative == pytest.approx(0.1, rel=1e-3)


def test_masks_are_compared_by_voxels(tmp_path):
    first = np.zeros((7, 6, 5), np.uint8)
    first[:2] = 1
    second = first.copy()
    second[0, 0, :3] = 0
    found = difference(tmp_path, first, second)
    assert (found.largest, found.unit, found.relative) == (3.0, "voxels", 3 / 60)


def test_image_of_another_shape_is_named(tmp_path):
    dataset = Dataset(tmp_path)
    dataset.image("a.nii.gz")
    dataset.image("b.nii.gz", volumes=2)
    with pytest.raises(InputError, match=r"a\.nii\.gz: shape \(7, 6, 5\), recomputed"):
        compare_maps(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
