"""Commands that benchmarks run as separate processes."""

from __future__ import annotations

import sys

import pytest

from bench.process import Process


def test_each_run_writes_new_files_and_its_cpu_seconds_are_kept(tmp_path):
    write = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('x')"
    process = Process([sys.executable, "-c", write, str(tmp_path / "out-{run}.txt")], tmp_path)
    process()
    process()
    assert sorted(path.name for path in tmp_path.glob("out-*")) == ["out-0.txt", "out-1.txt"]
    assert len(process.cpu) == 2
    assert min(process.cpu) > 0


def test_a_command_that_fails_ends_the_benchmark_with_what_it_says(tmp_path):
    fail = "import sys; sys.stderr.write('no such series'); sys.exit(3)"
    with pytest.raises(RuntimeError, match="code 3: no such series"):
        Process([sys.executable, "-c", fail], tmp_path)()
