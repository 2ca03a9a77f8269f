import json

import pytest

from qsmengine.cli.main import main
from qsmengine.cli.options.parsers import parse_bytes
from qsmengine.errors import UsageError
from tests.cohort.small import derivatives, write_cohort

FAST = ("--preset", "fast", "--set", "inversion=tkd", "--set", "relaxometry=none", "--device", "cpu")


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    folder = write_cohort(tmp_path_factory.mktemp("cli") / "bids", 3)
    bad = folder / "sub-01/anat/sub-01_echo-2_part-phase_MEGRE.nii.gz"
    bad.write_bytes(bad.read_bytes()[:300])
    (folder / "sub-02/anat/sub-02_echo-1_part-mag_MEGRE.json").unlink()
    return folder


def test_good_sessions_finish_and_bad_ones_are_named(bids, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", str(bids), str(out), *FAST, "--workers", "0"]) == 1
    shown = capsys.readouterr()
    assert "sub-01: blocked" in shown.err
    assert "1 done, 2 blocked" in shown.out
    assert "sub-02_echo-1_part-mag_MEGRE" in shown.err
    assert "EchoTime" in shown.err
    assert "truncated" in shown.err
    assert main(["status", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("3 sessions: ")
    assert "truncated" in text
    assert main(["status", str(out), "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["counts"]["done"] == 1
    assert {s["session"] for s in tree["sessions"]} == {"sub-00", "sub-01", "sub-02"}


def test_dry_run_writes_nothing(bids, tmp_path, capsys):
    assert main(["run", str(bids), str(tmp_path / "out"), *FAST, "--dry-run"]) == 0
    assert "sub-00" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_json_lines_tell_every_session_and_the_sum(bids, tmp_path, capsys):
    options = ["--participant-label", "00", "--workers", "0", "--log-json"]
    assert main(["run", str(bids), str(tmp_path / "out"), *FAST, *options]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["session"] for line in lines if line["event"] == "session"] == ["sub-00"]
    assert (lines[-1]["event"], lines[-1]["done"]) == ("result", 1)


def test_quiet_says_nothing_and_second_run_changes_nothing(bids, tmp_path, capsys):
    command = [
        "run",
        str(bids),
        str(tmp_path / "out"),
        *FAST,
        "--participant-label",
        "00",
        "--workers",
        "0",
        "-q",
    ]
    assert main(command) == 0
    before = derivatives(tmp_path / "out")
    assert main(command) == 0
    assert derivatives(tmp_path / "out") == before
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--device", "cuda:99"], 4, "cuda:99"),
        (["--memory", "plenty"], 2, "--memory 'plenty'"),
        (["--participant-label", "77"], 2, "77"),
        (["--set", "inversion.treshold=1"], 2, "did you mean"),
        (["--scheduler", "tcp://127.0.0.1:9", "--slurm", "x.yaml"], 2, "exclude each other"),
    ],
)
def test_wrong_options_are_told_before_any_work(bids, tmp_path, capsys, options, code, message):
    out = tmp_path / "out"
    assert main(["run", str(bids), str(out), *FAST, *options]) == code
    assert message in capsys.readouterr().err
    assert not list(out.glob("sub-*"))


def test_status_of_a_folder_without_a_run_is_an_input_error(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 3
    assert "no ledger" in capsys.readouterr().err


def test_sizes_are_read_in_powers_of_1024():
    assert parse_bytes("2GB", "--memory") == 2 << 30
    assert parse_bytes("512 MiB", "--memory") == 512 << 20
    assert parse_bytes("1.5k", "--memory") == 1536
    assert parse_bytes(None, "--memory") is None
    for text in ("", "GB", "0GB", "12", "1XB", "..GB"):
        with pytest.raises(UsageError, match="--memory"):
            parse_bytes(text, "--memory")
