import pytest

from qsmengine.cli.bids.arguments import ARGUMENTS, memory_bytes, parse
from qsmengine.errors import UsageError

MUST = ("bids", "out", "participant")


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ("--participant-label 01 sub-02", "participant_label", ["01", "sub-02"]),
        ("--participant_label 01 --participant_label 02", "participant_label", ["01", "02"]),
        ("--session-label a", "session_label", ["a"]),
        ("--bids-filter-file f.json", "bids_filter_file", "f.json"),
        ("-w /scratch", "work_dir", "/scratch"),
        ("--work_dir=/scratch", "work_dir", "/scratch"),
        ("--omp-nthreads 4", "omp_nthreads", 4),
        ("--nprocs 0", "nprocs", 0),
        ("--echo-times 0.004 0.012", "echo_times", [0.004, 0.012]),
        ("--set inversion=tkd background.radius=5", "set", ["inversion=tkd", "background.radius=5"]),
        ("--skip_bids_validator", "skip_bids_validation", True),
        ("--skip-bids-validation", "skip_bids_validation", True),
        ("--stop_on_first_crash", "stop_on_first_crash", True),
        ("", "preset", "accurate"),
        ("", "participant_label", None),
        ("", "dry_run", False),
    ],
)
def test_flags_are_spelled_as_users_of_bids_apps_spell_them(given, name, value):
    assert getattr(parse([*MUST, *given.split()]), name) == value


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([*MUST, "--particpant-label", "1"], "did you mean --participant-label"),
        ([*MUST, "--omp-nthread=2"], "did you mean --omp-nthreads"),
        ([*MUST, "--omp-nthreads", "0"], "between 1 and 4096"),
        ([*MUST, "--nprocs", "two"], "invalid integer value: 'two'"),
        ([*MUST, "--steps", "fmri"], "invalid choice: 'fmri'"),
        (["bids", "out", "subject"], "invalid choice: 'subject'"),
        (["bids", "out"], "analysis_level"),
        ([*MUST, "more"], "invalid choice: 'more'"),
    ],
)
def test_wrong_arguments_are_usage_errors_with_the_nearest_flag(argv, message):
    with pytest.raises(UsageError, match=message):
        parse(argv)


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(flag in text for argument in ARGUMENTS for flag in argument.flags)


@pytest.mark.parametrize(
    ("text", "value"),
    [("500", 500e6), ("16G", 16e9), ("16GB", 16e9), ("1.5 t", 1.5e12), ("2000m", 2e9), ("1GiB", 1e9)],
)
def test_memory_is_in_megabytes_or_has_its_unit(text, value):
    assert memory_bytes(text) == value


@pytest.mark.parametrize("text", ["", "lots", "-3", "16 GG"])
def test_memory_that_is_no_number_is_refused(text):
    with pytest.raises(UsageError, match="--mem"):
        memory_bytes(text)
