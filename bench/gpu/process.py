"""Running one part in a separate process, within a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import ROOT

TAIL = 4000
"""Characters of output that are kept of a process that failed."""


@dataclass(frozen=True)
class Finished:
    """Result of a process.

    Parameters
    ----------
    code
        Exit status; None of a process that ran out of time.
    output
        What it wrote.
    seconds
        How long it took.
    """

    code: int | None
    output: str
    seconds: float

    @property
    def state(self) -> str:
        """`ok`, `failed` or `out of time`."""
        return "out of time" if self.code is None else "failed" if self.code else "ok"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON objects among the lines of the output."""
        return json_lines(self.output)

    def problem(self) -> dict[str, Any]:
        """Exit status and end of the output of a process that failed; nothing of one that did not."""
        return {} if self.code == 0 else {"exit_status": self.code, "output": self.output[-TAIL:]}


def run_process(command: Sequence[str], limit: float, env: Mapping[str, str], log: Path) -> Finished:
    """Run `command` for at most `limit` seconds; its output goes to `log`, so nothing is lost with it."""
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(env), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        code = _wait(process, limit)
    seconds = time.perf_counter() - start
    return Finished(code, log.read_text(encoding="utf-8", errors="replace"), seconds)


def _wait(process: subprocess.Popen[bytes], limit: float) -> int | None:
    try:
        return process.wait(max(0.0, limit))
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that was started with a separate session, and its children."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def json_lines(text: str) -> list[dict[str, Any]]:
    """The JSON objects among the lines of `text`; lines that are cut off do not count."""
    rows = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return rows
