from __future__ import annotations

import json
import threading
from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.ledger.records import read_all, read_record, write_record
from qsmengine.cohort.plan.model import SessionRecord, StepRecord

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def below(name):
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


STEP = st.builds(
    StepRecord,
    state=st.sampled_from(["waiting", "running", "done", "failed", "blocked"]),
    fingerprint=TEXT,
    inputs=st.dictionaries(TEXT, TEXT, max_size=3),
    outputs=st.dictionaries(TEXT.filter(below), TEXT, max_size=3),
    reason=TEXT,
    notes=st.lists(TEXT, max_size=3).map(tuple),
    seconds=st.floats(0, 1e6),
    peak_memory=st.integers(0, 2**50),
    attempts=st.integers(0, 99),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.dictionaries(TEXT, STEP, max_size=3), problems=st.lists(TEXT, max_size=2).map(tuple))
def test_a_record_is_read_back_as_it_was_written(tmp_path, steps, problems):
    record = SessionRecord(session="sub-01", steps=steps, problems=problems)
    write_record(tmp_path, record)
    assert read_record(tmp_path, "sub-01") == (record, "")


def test_a_session_never_begun_has_no_record_and_no_note(tmp_path):
    assert read_record(tmp_path, "sub-01") == (None, "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"session": "sub-01", "steps": {"qsm": {"state": "finished"}}}',
        b'{"session": "sub-01", "step": {}}',
        b'{"session": "sub-02"}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_noted_and_counts_as_not_begun(tmp_path, content):
    path = Places(tmp_path).record("sub-01")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    record, note = read_record(tmp_path, "sub-01")
    assert record is None
    assert str(path) in note


def test_readers_see_whole_records_while_writers_replace_them(tmp_path):
    end, seen = threading.Event(), []

    def read() -> None:
        while not end.is_set():
            seen.append(read_record(tmp_path, "sub-01"))

    write_record(tmp_path, SessionRecord(session="sub-01"))
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(60):
        steps = {f"step-{i}": StepRecord(state="done", reason="x" * 100) for i in range(number)}
        write_record(tmp_path, SessionRecord(session="sub-01", steps=steps))
    end.set()
    for reader in readers:
        reader.join()
    assert len(seen) > 10
    assert all(record is not None and note == "" for record, note in seen)


def test_all_sessions_are_listed_by_name_without_temporary_files(tmp_path):
    for key in ("sub-02", "sub-01_ses-b", "sub-01_ses-a"):
        write_record(tmp_path, SessionRecord(session=key))
    (Places(tmp_path).sessions / ".sub-03.json.0.tmp").write_text("{")
    assert [key for key, _, _ in read_all(tmp_path)] == ["sub-01_ses-a", "sub-01_ses-b", "sub-02"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../raw/sub-01_T1w.nii.gz", "sub-01/../../x", "", "."])
def test_an_output_outside_the_folder_makes_the_ledger_damaged(tmp_path, name):
    record = SessionRecord(session="sub-01", steps={"qsm": StepRecord(state="done", outputs={"a.nii": "0"})})
    write_record(tmp_path, record)
    path = Places(tmp_path).record("sub-01")
    path.write_text(path.read_text().replace('"a.nii"', json.dumps(name)))
    found, note = read_record(tmp_path, "sub-01")
    assert found is None
    assert "not a file below the output folder" in note
