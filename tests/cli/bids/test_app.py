import json
import os

import pytest

from qsmengine import __version__
from qsmengine.cli.bids import app as bids_app
from qsmengine.cli.bids.app import changed_pages, choose_gpus, main, prepare_work, share_cores
from qsmengine.cohort.plan.model import SessionRecord
from qsmengine.cohort.run import CohortOutcome
from qsmengine.errors import UsageError
from tests.made_sessions import make_ball, write_ball
from tests.report.results import write_session, write_table

QUICK = ("--set", "inversion=tkd", "background=vsharp", "background.max_radius=6", "--device", "cpu")
HERE = ("--nprocs", "0", "--omp-nthreads", "2")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """What a command sets in the environment ends with the test."""
    names = ("TMPDIR", "MPLCONFIGDIR", "CUPY_CACHE_DIR", "CUDA_VISIBLE_DEVICES", "QSMENGINE_KERNEL_CACHE")
    for name in names:
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "bids"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "n", "BIDSVersion": "1.10.0"}')
    for subject in ("01", "02"):
        write_ball(
            root / f"sub-{subject}" / "anat", make_ball(1), f"sub-{subject}_" + "{echo}part-{part}_MEGRE"
        )
    return root


def test_participant_level_reconstructs_and_writes_pages(dataset, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([str(dataset), str(out), "participant", "--participant_label", "sub-01", *QUICK, *HERE]) == 0
    assert (out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").is_file()
    assert not (out / "sub-02").exists()
    assert {"index.html", "sub-01.html"} <= {p.name for p in out.iterdir()}
    assert "doi.org" in (out / "logs" / "CITATION.md").read_text()
    links = json.loads((out / "dataset_description.json").read_text())["DatasetLinks"]
    assert links == {"raw": dataset.as_uri()}
    assert str(out / "index.html") in capsys.readouterr().out


def test_broken_session_is_named_and_the_others_finish(dataset, tmp_path, capsys):
    path = dataset / "sub-02" / "anat" / "sub-02_echo-2_part-mag_MEGRE.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])
    out = tmp_path / "out"
    assert main([str(dataset), str(out), "participant", *QUICK, *HERE]) == 1
    assert (out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").is_file()
    page = (out / "sub-02.html").read_text()
    assert "sub-02_echo-2_part-mag_MEGRE.nii.gz" in page
    assert "sub-02_echo-2_part-mag_MEGRE.nii.gz" in capsys.readouterr().err


def test_dry_run_prints_the_plan_and_writes_nothing(dataset, tmp_path, capsys):
    assert main([str(dataset), str(tmp_path / "out"), "participant", "--dry-run", *QUICK]) == 0
    assert not (tmp_path / "out").exists()
    assert "2 sessions" in capsys.readouterr().out


def test_group_level_gathers_tables_and_fits_models(dataset, tmp_path):
    out = tmp_path / "out"
    people = ["participant_id\tgroup"]
    for number in range(6):
        write_session(out, f"sub-{number:02d}")
        write_table(out, f"sub-{number:02d}", {"pallidum": 0.1 + 0.01 * number})
        people.append(f"sub-{number:02d}\t{'ab'[number % 2]}")
    (dataset / "participants.tsv").write_text("\n".join(people) + "\n")
    design = tmp_path / "design.yaml"
    design.write_text(
        "outcome: {region: [pallidum], map: chi, statistic: mean}\n"
        "groups: {column: group, reference: a}\ncovariates: []\ncorrection: none\n"
    )
    assert main([str(dataset), str(out), "group", "--design", str(design)]) == 0
    assert {"desc-dgm_stats.tsv", "group_ancova.tsv"} <= {p.name for p in (out / "group").iterdir()}
    assert "6 done" in (out / "index.html").read_text()


def test_both_levels_run_in_order_even_if_a_session_fails(dataset, tmp_path, monkeypatch):
    calls = []
    for name, code in (("_participants", 1), ("_group", 0)):
        monkeypatch.setattr(bids_app, name, lambda *_, name=name, code=code: calls.append(name) or code)
    argv = [str(dataset), str(tmp_path / "out"), "participant", "group"]
    assert main(argv) == 1
    assert main([*argv, "--dry-run"]) == 1
    assert calls == ["_participants", "_group", "_participants"]


def test_reports_only_computes_nothing(dataset, tmp_path):
    out = tmp_path / "out"
    write_session(out, "sub-01")
    assert main([str(dataset), str(out), "participant", "--reports-only"]) == 0
    assert (out / "sub-01.html").is_file()
    assert not (out / ".qsmengine").exists()


def test_damaged_sessions_make_the_reports_fail(dataset, tmp_path, capsys):
    out = tmp_path / "out"
    for subject in ("sub-01", "sub-02"):
        write_session(out, subject)
    image = next((out / "sub-01").rglob("*_Chimap.nii.gz"))
    image.write_bytes(image.read_bytes()[:100])
    assert main([str(dataset), str(out), "participant", "--reports-only"]) == 1
    assert image.name in capsys.readouterr().err
    assert (out / "sub-02.html").is_file()


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["{bids}", "o", "participant", "--participant-lable", "1"], 2),
        (["{bids}", "o", "participant", "--participant-label", "nobody"], 2),
        (["{bids}", "o", "participant", "--set", "inversion=nothing"], 2),
        (["{bids}", "o", "participant", "--resume", "--force"], 2),
        (["{bids}", "o", "participant", "--design", "d.yaml"], 2),
        (["{bids}", "o", "participant", "--mem", "lots"], 2),
        (["{bids}", "o", "participant", "--gpus", "two"], 2),
        (["nowhere", "o", "participant"], 3),
        (["{bids}", "nowhere", "group"], 3),
    ],
)
def test_errors_are_one_line_and_have_the_house_s_codes(dataset, capsys, tmp_path, monkeypatch, argv, code):
    monkeypatch.chdir(tmp_path)
    assert main([part.format(bids=dataset) for part in argv]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_version_names_engine_and_kernels(capsys):
    assert main(["-v"]) == 0
    assert f"qsmengine {__version__}" in capsys.readouterr().out
    assert main(["--help"]) == 0


def test_interrupt_has_its_code(dataset, monkeypatch, capsys):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(bids_app, "run", stop)
    assert main([str(dataset), "o", "participant"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_work_folder_takes_temporary_files_and_caches(tmp_path):
    prepare_work(tmp_path / "w")
    for name in ("TMPDIR", "MPLCONFIGDIR", "CUPY_CACHE_DIR"):
        assert os.environ[name].startswith(str(tmp_path / "w"))


def test_kernels_of_the_image_are_copied_once_to_where_new_ones_are_written(tmp_path, monkeypatch):
    baked = tmp_path / "baked"
    baked.mkdir()
    (baked / "a.cubin").write_bytes(b"image")
    (baked / "b.cubin").write_bytes(b"image")
    monkeypatch.setenv("QSMENGINE_KERNEL_CACHE", str(baked))
    cache = tmp_path / "w" / "cupy"
    cache.mkdir(parents=True)
    (cache / "b.cubin").write_bytes(b"own")
    prepare_work(tmp_path / "w")
    assert {p.name: p.read_bytes() for p in cache.iterdir()} == {"a.cubin": b"image", "b.cubin": b"own"}


@pytest.mark.parametrize(
    ("gpus", "device", "chosen", "visible"),
    [
        (None, "auto", "auto", None), ("all", "cuda", "cuda", None), ("none", "auto", "cpu", None),
        ("0, 2", "auto", "auto", "0,2"),
    ],
)  # fmt: skip
def test_chosen_gpus_are_the_visible_ones(gpus, device, chosen, visible):
    assert choose_gpus(gpus, device) == chosen
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


@pytest.mark.parametrize(
    ("nprocs", "omp", "gpus", "expected"),
    [
        (16, 8, 0, (2, 8)), (16, None, 0, (8, 2)), (1, 4, 0, (1, 1)), (4, 3, 0, (1, 3)),
        (None, 4, 0, (None, 4)),
        (0, 4, 0, (0, 4)), (16, None, 2, (None, 8)), (16, 4, 2, (None, 4)), (1, None, 2, (None, 1)),
    ],
)  # fmt: skip
def test_cores_are_those_of_all_workers_together(monkeypatch, nprocs, omp, gpus, expected):
    monkeypatch.setattr("qsmengine.backend.device.cuda_devices", lambda: (gpus, ""))
    assert share_cores(nprocs, omp, "auto") == expected
    if not gpus:
        assert share_cores(nprocs, omp, "cpu") == expected


def test_no_gpus_beside_a_gpu_is_refused():
    with pytest.raises(UsageError, match="exclude"):
        choose_gpus("none", "cuda:1")


def test_pages_of_untouched_sessions_are_left(tmp_path):
    records = {key: SessionRecord(session=key) for key in ("sub-1", "sub-2", "sub-3")}
    (tmp_path / "sub-1.html").write_text("")
    outcome = CohortOutcome(records, 3, skipped=frozenset({"sub-1", "sub-2"}))
    assert changed_pages(tmp_path, outcome) == ["sub-2", "sub-3"]
