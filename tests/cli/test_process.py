"""The command as a process of its own."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

from qsmengine import __main__
from qsmengine.cli import main


def test_run_returns_the_exit_code_and_leaves_no_object_to_search_at_the_end(monkeypatch):
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "")
    monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", "20")
    monkeypatch.setattr(sys, "argv", ["qsmengine", "doctor"])
    before, during = gc.get_threshold(), []
    monkeypatch.setattr(main, "main", lambda: during.append(gc.get_threshold()[0]) or 3)
    try:
        assert __main__.run() == 3
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
    assert during == [__main__.COLLECT_AFTER]
    assert os.environ["PYDANTIC_DISABLE_PLUGINS"] == ""
    assert os.environ["OPENBLAS_THREAD_TIMEOUT"] == "20"


def test_a_process_ends_with_the_exit_code_of_its_command():
    for arguments, code in ((["--version"], 0), (["no-such-command"], 2)):
        command = [sys.executable, "-m", "qsmengine", *arguments]
        assert subprocess.run(command, capture_output=True, check=False).returncode == code
