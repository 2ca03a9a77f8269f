from __future__ import annotations

import json
import os

import pytest

from qsmengine.cohort.ledger import fingerprints as hashing
from qsmengine.cohort.ledger.fingerprints import (
    HashCache,
    fingerprint,
    input_files,
    input_hashes,
    outputs_intact,
)
from qsmengine.pipeline.outputs.provenance import file_digest
from tests.cohort.small import dti_step, qsm_step, write_cohort


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("hashing") / "bids", 1, dwi=True)


def mark(step, bids, **changes):
    hashes = input_hashes(step, bids, HashCache())
    return fingerprint(step, hashes, changes.get("before", {}), changes.get("kind", "cpu"))


def test_images_sidecars_and_inherited_files_are_inputs(bids):
    names = {path.relative_to(bids).as_posix() for path in input_files(qsm_step("00"), bids)}
    assert len(names) == 8
    top = bids / "MEGRE.json"
    top.write_text(json.dumps({"Manufacturer": "x"}))
    before = mark(qsm_step("00"), bids)
    top.write_text(json.dumps({"Manufacturer": "y"}))
    assert mark(qsm_step("00"), bids) != before
    assert "MEGRE.json" in input_hashes(qsm_step("00"), bids, HashCache())
    top.unlink()


def test_gradient_tables_are_inputs(bids):
    names = {path.name for path in input_files(dti_step("00"), bids)}
    assert {"sub-00_dwi.nii.gz", "sub-00_dwi.bval", "sub-00_dwi.bvec"} <= names


def test_contents_decide_and_times_do_not(bids):
    step = qsm_step("00")
    path = bids / step.inputs["phase"][0]
    before, content = mark(step, bids), path.read_bytes()
    os.utime(path, (1, 1))
    assert mark(step, bids) == before
    path.write_bytes(content + b"\0")
    assert mark(step, bids) != before
    path.write_bytes(content)
    assert mark(step, bids) == before


def test_configuration_options_device_and_steps_before_decide(bids):
    step = qsm_step("00")
    others = [
        mark(qsm_step("00", "inversion.threshold=0.11"), bids),
        mark(step.model_copy(update={"options": {"echo_times": [0.1, 0.2]}}), bids),
        mark(step.model_copy(update={"outputs": ("other.nii.gz",)}), bids),
        mark(step, bids, kind="cuda"),
        mark(step, bids, before={"qsm": {"a": "1"}}),
        mark(step, bids, before={"qsm": {"a": "2"}}),
    ]
    assert len({mark(step, bids), *others}) == 1 + len(others)
    assert mark(step.model_copy(update={"notes": ("x",), "memory": 5}), bids) == mark(step, bids)


def test_engine_and_kernels_decide(bids, monkeypatch):
    step = qsm_step("00")
    before = mark(step, bids)
    monkeypatch.setattr(hashing, "sources_hash", lambda: "other")
    kernels = mark(step, bids)
    monkeypatch.undo()
    monkeypatch.setattr("qsmengine.version.__version__", "0")
    assert len({before, kernels, mark(step, bids)}) == 3


def test_a_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    reads = []
    digest = file_digest
    monkeypatch.setattr(hashing, "file_digest", lambda path: reads.append(path) or digest(path))
    path, cache = tmp_path / "a", HashCache()
    path.write_text("one")
    cache.read_ahead([path, tmp_path / "missing"])
    first = cache.digest(path)
    assert len(reads) == 1
    path.write_text("other")
    assert cache.digest(path) != first


def test_outputs_count_only_with_the_contents_they_had(tmp_path):
    (tmp_path / "a").write_text("x")
    recorded = {"a": file_digest(tmp_path / "a")}
    assert outputs_intact(tmp_path, recorded)
    (tmp_path / "a").write_text("y")
    assert not outputs_intact(tmp_path, recorded)
    (tmp_path / "a").unlink()
    assert not outputs_intact(tmp_path, recorded)
