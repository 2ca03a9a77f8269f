import json
import os
import subprocess
import sys
import time
import zipfile

import pytest

from bench.gpu import pack, parts, sizes, tools
from bench.gpu.process import json_lines, run_process
from bench.gpu.session import Part, Stay, environment
from bench.machine import ROOT
from qsmengine.errors import UsageError
from qsmengine.pipeline.configuration.presets import PRESETS


@pytest.fixture
def stay(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    return Stay(tmp_path / "out.json", work, "cuda:0", sizes.REHEARSAL, True, environment(work))


def written(stay):
    return json.loads(stay.path.read_text())["parts"]


def test_rehearsal_runs_every_part_on_the_standin_and_calls_nothing_a_measurement(tmp_path):
    path = tmp_path / "rehearsal.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "gpu", "--rehearse", "--json", path],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    result = json.loads(path.read_text())
    found = {part["part"]: part for part in result["parts"]}
    assert done.returncode == 0, json.dumps(found, indent=1)
    assert list(found) == [part.name for part in parts.PARTS]
    assert result["rehearsal"] is True
    assert not any(part["measured"] for part in found.values())
    needs_tools = {"sanitize": "compute-sanitizer", "profile": "ncu"}
    for name, part in found.items():
        missing = name in needs_tools and tools.find_tool(needs_tools[name]) is None
        assert part["state"] == ("not found" if missing else "ok")
    assert found["agree"]["rows"][0]["passed"] > 0
    first, by_kernel = found["chain"]["rows"]
    assert list(first["steps"])[-1] == "reference: region_mean"
    assert sum(first["steps"].values()) <= first["seconds"]
    launches = {row["kernel"]: row["launches"] for row in by_kernel["kernels"]}
    assert launches["tv_gradient_step_faces"] == PRESETS["fast"]["single_step"]["iterations"]
    assert found["cohort"]["rows"][0]["sessions"] == 1


def test_a_part_that_fails_is_noted_and_the_next_one_runs(stay):
    def fail(_stay, _seconds):
        raise OSError("no such thing")

    after = Part("after", "b", 1, lambda _stay, _seconds: {"state": "ok", "rows": [{"x": 1}]})
    assert not stay.run([Part("before", "a", 1, fail), after], 10)
    first, second = written(stay)
    assert (first["state"], first["error"]) == ("failed", "OSError: no such thing")
    assert second["rows"] == [{"x": 1}]
    assert stay.rows_of("after") == [{"x": 1}]


def test_an_end_before_time_costs_the_running_part_only(stay):
    def interrupted(_stay, _seconds):
        raise KeyboardInterrupt

    done = Part("done", "a", 1, lambda _stay, _seconds: {"state": "ok", "rows": [{"x": 2}]})
    with pytest.raises(KeyboardInterrupt):
        stay.run([done, Part("cut", "b", 1, interrupted)], 10)
    assert [(part["state"], part.get("rows")) for part in written(stay)] == [
        ("ok", [{"x": 2}]),
        ("begun", None),
    ]


def test_what_a_part_leaves_of_its_time_the_later_ones_get(stay):
    allowed = []

    def run(_stay, seconds):
        allowed.append(seconds)
        return {"state": "ok"}

    stay.run([Part("a", "a", 1, run), Part("b", "b", 2, run), Part("c", "c", 1, run)], 100)
    assert allowed == pytest.approx([25, 200 / 3, 100], abs=1)


def test_a_process_out_of_time_is_ended_with_its_children_and_its_rows_are_kept(tmp_path):
    script = "import subprocess, sys; print('{\"a\": 1}', flush=True); subprocess.run(['sleep', '600'])"
    start = time.perf_counter()
    done = run_process([sys.executable, "-c", script], 6, os.environ, tmp_path / "log")
    assert time.perf_counter() - start < 60
    assert (done.code, done.state, done.rows) == (None, "out of time", [{"a": 1}])


def test_a_process_that_fails_leaves_the_end_of_its_output(tmp_path):
    done = run_process([sys.executable, "-c", "raise SystemExit('broken')"], 60, os.environ, tmp_path / "log")
    assert done.state == "failed"
    assert done.problem() == {"exit_status": 1, "output": "broken\n"}


def test_lines_that_are_cut_off_are_no_rows():
    assert json_lines('text\n{"a": 1}\n{"b": ') == [{"a": 1}]


def test_data_that_are_not_made_in_time_end_their_part_and_their_process(stay):
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    stay.companions["head"] = subprocess.Popen(sleep, start_new_session=True)
    assert not stay.run([part for part in parts.PARTS if part.name == "chain"], 2)
    assert stay.companions["head"].poll() is not None
    assert "head: not made in time" in written(stay)[0]["error"]


def test_only_tests_that_ask_for_a_gpu_run_and_failures_are_named(stay, tmp_path):
    (tmp_path / "test_three.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        "def gpu(): return 0\n"
        "def test_plain(): raise ValueError\n"
        "def test_good(gpu): pass\n"
        "@pytest.mark.parametrize('device', ['cpu', 'cuda'])\n"
        "def test_bad(device): assert device == 'cpu'\n"
    )
    finished, outcomes = parts.run_tests(stay, 60, "three", [str(tmp_path / "test_three.py")])
    assert finished.state == "failed"
    found = parts.summary(outcomes)
    assert (found["passed"], found["failed"], found["skipped"]) == (1, 1, 0)
    assert found["failures"][0]["test"].endswith("test_three.py::test_bad[cuda]")


def test_every_check_of_the_sanitizer_is_run_and_its_errors_counted(stay, monkeypatch):
    script = stay.work / "compute-sanitizer"
    script.write_text(
        "#!/bin/sh\n"  # stands for the tool: --tool NAME --error-exitcode N --log-file FILE command...
        'test "$2" = racecheck && echo "= RACECHECK SUMMARY: 2 hazards displayed (2 errors)" >"$6"'
        ' && exit "$4"\n'
        'echo "==== ERROR SUMMARY: 0 errors" >"$6"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(stay.work), prepend=os.pathsep)
    found = tools.sanitize(stay, 60, parts.run_tests)
    assert found["state"] == "failed"
    assert [(r["check"], r["state"], r["errors"]) for r in found["rows"]] == [
        ("memcheck", "ok", 0), ("racecheck", "failed", 2), ("synccheck", "ok", 0),
    ]  # fmt: skip


def test_a_sanitizer_without_a_summary_has_no_count():
    assert tools.error_count("==== COMPUTE-SANITIZER\n") is None


def test_counters_are_read_from_the_profiler_between_other_lines():
    table = (
        '==PROF== Connected\n{"preset": "fast"}\n'
        '"ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"\n'
        '"0","nlm","Command line","gpu__time_duration.sum","us","12.5"\n'
        '"0","nlm","Command line","launch__registers_per_thread","","64"\n'
    )
    assert tools.counters(table) == {"gpu__time_duration.sum": "12.5 us", "launch__registers_per_thread": "64"}
    assert tools.counters("nothing") == {}


def test_the_slowest_kernels_of_all_chains_are_profiled(stay):
    stay.sizes = {"profiled": 2}
    times = [{"a": 3.0, "b": 1.0}, {"b": 4.0, "c": 2.0}]
    rows = [{"kernels": [{"kernel": k, "ms": ms} for k, ms in row.items()]} for row in times]
    stay.parts.append({"part": "chain", "rows": [{"preset": "x"}, *rows]})
    assert parts.slowest_kernels(stay) == ["b", "a"]


def test_a_pack_holds_what_the_package_needs_and_not_what_comes_with_cupy():
    names = pack.needed(pack.ROOTS, "3.12")
    assert {"nibabel", "pydantic", "pydantic-core", "pyyaml", "typer", "isal", "pytest"} <= names
    assert not names & {"numpy", "scipy", "qsmengine", "importlib-resources"}


def test_needs_of_the_other_python_count():
    assert "importlib-resources" in pack.needed(["nibabel"], "3.11")


def test_a_pack_above_the_limit_is_refused(tmp_path):
    assert pack.check_size(pack.LIMIT) == pack.LIMIT
    with pytest.raises(pack.PackError, match=r"64\.0 MiB, the limit is 64 MiB"):
        pack.check_size(pack.LIMIT + 1)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not empty"):
        pack.main(tmp_path, "3.12")


def test_the_packed_script_unpacks_and_starts_the_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "download", lambda pins, folder, python: folder.mkdir(parents=True))
    folder = tmp_path / "pack"
    assert pack.main(folder, "3.12") == 0
    wheel = folder / "wheels" / "thing-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing.py", "value = 5\n")
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__main__.py").write_text("import sys, thing; print(sys.argv[1:], thing.value)\n")
    done = subprocess.run(
        ["sh", folder / "run.sh", "--minutes", "9"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "['gpu', '--minutes', '9'] 5\n", done.stderr
    assert list((tmp_path / "build" / "kernels").glob("libqsmengine_*.so"))
