import json

import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.errors import UsageError
from qsmengine.io import load_dwi, load_gre, read_image
from qsmengine.phantom import virtual_head
from qsmengine.phantom.cohort import CohortSettings, write_cohort
from qsmengine.phantom.faults import fault_kinds
from qsmengine.phantom.scheme import default_scheme
from qsmengine.pipeline.configuration.config import load_config

SIZE = (8.0, 8.0, 8.0)


@pytest.fixture(scope="module")
def coarse():
    return virtual_head(
        voxel_size=SIZE, modalities=("gre", "dwi"), echo_times=(0.01, 0.02),
        scheme=default_scheme(6, b0_volumes=1),
    )  # fmt: skip


def test_sessions_differ_in_noise_of_the_snr_asked_for(coarse, tmp_path):
    write_cohort(tmp_path, coarse, CohortSettings(sessions=4, visits=2, snr=40.0))
    series = []
    for subject, visit in (("01", 1), ("01", 2), ("02", 1), ("02", 2)):
        folder = tmp_path / f"sub-{subject}" / f"ses-{visit}"
        gre = load_gre(
            *(sorted((folder / "anat").glob(f"*part-{part}*.nii.gz")) for part in ("mag", "phase"))
        ).series
        dwi = load_dwi(next((folder / "dwi").glob("*.nii.gz"))).series
        series.append((gre.magnitude * np.exp(1j * gre.phase), dwi.signal))
    clean = coarse.gre.magnitude * np.exp(1j * coarse.gre.phase)
    white = np.isin(coarse.labels, (2, 41))
    sigma = coarse.gre.magnitude[white, 0].mean() / 40.0
    for signal, _ in series:
        noise = signal - clean
        assert noise.real.std() == pytest.approx(sigma, rel=0.02)
        assert noise.imag.std() == pytest.approx(sigma, rel=0.02)
    first = coarse.dwi.signal[..., 0]
    bright = first > 0.5 * first.max()
    for index, (signal, weighted) in enumerate(series):
        spread = (weighted[..., 0] - first)[bright].std()
        assert spread == pytest.approx(first[white].mean() / 40.0, rel=0.1)
        for other, other_weighted in series[:index]:
            assert not np.array_equal(signal, other)
            assert not np.array_equal(weighted, other_weighted)


def test_the_same_seed_gives_the_same_bytes(coarse, tmp_path):
    settings = CohortSettings(sessions=8, seed=5, faults=True)
    for name in ("a", "b"):
        write_cohort(tmp_path / name, coarse, settings)
    files = [path.relative_to(tmp_path / "a") for path in sorted((tmp_path / "a").rglob("*")) if path.is_file()]
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files)
    assert len(files) == len([path for path in (tmp_path / "b").rglob("*") if path.is_file()])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_plan_finds_every_fault_and_no_other(coarse, tmp_path, seed):
    faults = write_cohort(tmp_path / "bids", coarse, CohortSettings(sessions=14, seed=seed, faults=True))
    assert {fault.kind for fault in faults.values()} == set(
        fault_kinds([drawing for drawing, _ in coarse.images])
    )
    truth = json.loads((tmp_path / "bids" / "derivatives" / "truth" / "faults.json").read_text())
    assert {key: row["Fault"] for key, row in truth.items()} == {key: one.kind for key, one in faults.items()}
    plan = plan_cohort(
        tmp_path / "bids", tmp_path / "out", load_config(preset="fast"), steps=("qsm", "dti", "regions")
    )
    assert len(plan.sessions) == 14
    for session in plan.sessions:
        broken = {step.kind for step in session.steps if step.problems}
        assert broken == ({faults[session.key].step} if session.key in faults else set()), session.key
        assert {step.kind for step in session.steps} == {"qsm", "dti", "regions"}
        fault = faults.get(session.key)
        if fault is not None and fault.kind in {"truncated file", "mismatched grid", "missing directions"}:
            problems = [problem for step in session.steps for problem in step.problems]
            assert any(fault.files[0] in problem for problem in problems)


def test_every_session_has_labels_on_its_grid_and_the_dataset_its_people(coarse, tmp_path):
    write_cohort(tmp_path, coarse, CohortSettings(sessions=3))
    rows = [line.split("\t") for line in (tmp_path / "participants.tsv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["participant_id", "sub-01", "sub-02", "sub-03"]
    assert set(json.loads((tmp_path / "participants.json").read_text())) == set(rows[0][1:])
    labels = read_image(tmp_path / "derivatives" / "truth" / "sub-03" / "anat" / "sub-03_dseg.nii.gz")
    np.testing.assert_array_equal(labels.array, coarse.labels)
    assert (tmp_path / "derivatives" / "truth" / "faults.json").read_text() == "{}\n"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (CohortSettings(sessions=0), "sessions"),
        (CohortSettings(sessions=6, faults=True), "more than 6"),
        (CohortSettings(sessions=2, snr=0.0), "snr"),
    ],
)
def test_impossible_cohorts_are_refused(coarse, tmp_path, settings, words):
    with pytest.raises(UsageError, match=words):
        write_cohort(tmp_path / "x", coarse, settings)
    assert not (tmp_path / "x").exists()


def test_a_head_with_noise_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no noise"):
        write_cohort(tmp_path, virtual_head(voxel_size=(8.0, 8.0, 8.0), snr=10.0), CohortSettings(sessions=2))


def test_the_command_writes_a_cohort(tmp_path, capsys):
    out = tmp_path / "vc"
    arguments = ["phantom", "--sessions", "6", "--faults", "--voxel-size", "8", "--out", str(out)]
    assert main(arguments) == 0
    assert sum(line.startswith("note: sub-") for line in capsys.readouterr().err.splitlines()) == 4
    assert len(list(out.glob("sub-*"))) == 6
    assert main(arguments) == 2
    assert main(["phantom", "--faults", "--out", str(tmp_path / "y")]) == 2
    assert main([*arguments[:-1], str(tmp_path / "z"), "--subject", "7"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vc"]
