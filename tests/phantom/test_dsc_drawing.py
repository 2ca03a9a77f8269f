import json
from dataclasses import replace

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io.dsc import load_dsc, open_dsc
from qsmengine.io.nifti import read_image
from qsmengine.phantom import virtual_head, write_bids
from qsmengine.phantom.cohort import CohortSettings, write_cohort
from qsmengine.phantom.dsc_drawing import DRAWING


@pytest.fixture(scope="module")
def clean():
    return virtual_head(voxel_size=(5.0, 5.0, 5.0), modalities=("gre", DRAWING), echo_times=(0.01,), seed=4)


def test_a_head_is_written_with_its_bolus_series_and_truth(clean, tmp_path):
    folder = write_bids(clean, tmp_path)
    loaded = load_dsc(folder / "perf" / "sub-01_dsc.nii.gz")
    series = clean.series("dsc")
    np.testing.assert_array_equal(loaded.series.signals[0], series.signals[0])
    assert (loaded.series.echo_times, loaded.series.repetition_time) == ((0.03,), 1.5)
    assert (tmp_path / ".bidsignore").read_text().splitlines() == ["*_dsc.*"]
    truth = tmp_path / "derivatives" / "truth" / "sub-01" / "perf"
    for name in ("CBV", "CBF", "MTT", "delay", "label-artery_probseg"):
        assert np.isfinite(read_image(truth / f"sub-01_{name}.nii.gz").array).all()
    assert json.loads((truth / "sub-01_CBF.json").read_text())["Units"] == "mL/100 g/min"


def test_two_echoes_become_two_files(clean, tmp_path):
    series = clean.series("dsc")
    two = replace(series, signals=series.signals * 2, echo_times=(0.01, 0.03))
    DRAWING.write(two, tmp_path / "sub-01" / "ses-1", {"sub": "01", "ses": "1"}, {})
    paths = sorted((tmp_path / "sub-01" / "ses-1" / "perf").glob("*.nii.gz"))
    assert [path.name for path in paths] == [f"sub-01_ses-1_echo-{n}_dsc.nii.gz" for n in (1, 2)]
    assert open_dsc(paths).echo_times == (0.01, 0.03)
    assert (tmp_path / ".bidsignore").is_file()


def test_series_and_truth_depend_on_the_seed_alone(clean):
    first, again, other = (
        virtual_head(voxel_size=(6.0, 6.0, 6.0), modalities=(DRAWING,), seed=seed) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first.series("dsc").signals[0], again.series("dsc").signals[0])
    assert (first.truth["artery"].array != other.truth["artery"].array).any()
    assert clean.truth["cbv"].array.shape == clean.mask.shape


def test_sessions_of_a_cohort_differ_in_noise_and_faults_are_found(clean, tmp_path):
    faults = write_cohort(tmp_path, clean, CohortSettings(sessions=9, snr=50.0, seed=2, faults=True))
    broken = {key: fault for key, fault in faults.items() if fault.step == "dsc"}
    assert {fault.kind for fault in broken.values()} == {
        "missing repetition time",
        "bolus series stopped early",
    }
    for key, fault in broken.items():
        with pytest.raises(InputError, match=r"RepetitionTime|10 frames"):
            open_dsc(tmp_path / key / "perf" / f"{key}_dsc.nii.gz")
        assert fault.files
    good = [f"sub-{n:02d}" for n in range(1, 10) if f"sub-{n:02d}" not in faults][:2]
    first, second = (load_dsc(tmp_path / key / "perf" / f"{key}_dsc.nii.gz").series.signals[0] for key in good)
    white = np.isin(clean.labels, (2, 41))
    noise = (first - second)[white].std() / np.sqrt(2)
    assert noise == pytest.approx(first[white][:, 6:10].mean() / 50, rel=0.1)
