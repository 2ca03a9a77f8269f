"""The long run: atheris on every target, for `make fuzz`. Findings are kept in build/fuzz/TARGET/.

``python -m tests.fuzz.long_run --minutes 10`` divides the time among the targets and prints a table; the exit
status is 1 after an unclean end. ``--only NAME`` runs one target.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FINDINGS = ROOT / "build" / "fuzz"
MEMORY = 4 << 30
"""Address space of a process [bytes]."""
LONGEST_INPUT = 400
"""Bytes of decisions per case."""
EXTRA_SECONDS = 600
"""Time for the start of a process and for its last case, on a loaded machine."""


def main() -> int:
    """Run every target and print the table; 1 after an unclean end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", action="append", metavar="TARGET")
    parser.add_argument("--target", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.target:
        return _fuzz(options.target, options.seconds)
    from tests.fuzz.targets import TARGETS

    names = [name for name in TARGETS if options.only is None or name in options.only]
    seconds = max(1.0, options.minutes * 60 * options.jobs / len(names))
    with ThreadPoolExecutor(options.jobs) as pool:
        reports = list(pool.map(lambda name: _child(name, seconds), names))
    print(f"{'target':<10}{'cases':>9}{'accepted':>10}{'seconds':>9}{'unclean':>9}")
    for report in reports:
        numbers = [report["cases"], report["accepted"], round(report["seconds"]), len(report["unclean"])]
        print(f"{report['target']:<10}{numbers[0]:>9}{numbers[1]:>10}{numbers[2]:>9}{numbers[3]:>9}")
    unclean = [(report["target"], end) for report in reports for end in report["unclean"]]
    for name, end in unclean:
        print(f"{name}: {end}")
    cases = sum(report["cases"] for report in reports)
    print(f"{cases} cases, {len(unclean)} kinds of unclean ends{f': {FINDINGS}' if unclean else ''}")
    return 1 if unclean else 0


def _child(name: str, seconds: float) -> dict[str, Any]:
    """Fuzz one target in a process of its own; a process that dies or never ends is an unclean end."""
    place = FINDINGS / name
    place.mkdir(parents=True, exist_ok=True)
    report = place / "report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.long_run", "--target", name, "--seconds", str(seconds)]
    with (place / "log.txt").open("w") as log:
        try:
            status = subprocess.run(
                command, cwd=ROOT, stdout=log, stderr=log, check=False, timeout=seconds + EXTRA_SECONDS
            ).returncode
        except subprocess.TimeoutExpired:
            status = None
    empty = {"target": name, "cases": 0, "accepted": 0, "seconds": 0.0, "unclean": {}}
    result: dict[str, Any] = json.loads(report.read_text()) if report.is_file() else empty
    if status != 0:
        what = "did not end" if status is None else f"ended with status {status}"
        result["unclean"][f"process {what}: see {place / 'log.txt'}"] = ""
    return result


def _fuzz(name: str, seconds: float) -> int:
    """Run atheris on a target until the time is over; the report is written at the end and at every finding."""
    import atheris

    with atheris.instrument_imports(include=["qsmengine"], enable_loader_override=False):
        from tests.fuzz.target import keep_files
        from tests.fuzz.targets import TARGETS
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    target, place, begun = TARGETS[name], FINDINGS / name, time.monotonic()
    counts: dict[str, Any] = {"target": name, "cases": 0, "accepted": 0}
    unclean: dict[str, str] = {}

    def report() -> None:
        content = {**counts, "seconds": time.monotonic() - begun, "unclean": unclean}
        (place / "report.json").write_text(json.dumps(content))

    def keep(folder: Path, error: AssertionError) -> None:
        where = getattr(error, "where", "")
        if where not in {text.rsplit("(", 1)[-1].rstrip(")") for text in unclean}:
            unclean[str(error)] = hashlib.sha256(where.encode()).hexdigest()[:8]
            keep_files(folder, place / unclean[str(error)], error)
            report()

    def one(data: bytes) -> None:
        counts["cases"] += 1
        try:
            counts["accepted"] += target.run(data, keep)
        except AssertionError:
            return
        finally:
            if counts["cases"] % 20 == 0:
                report()

    corpus = place / "corpus"
    corpus.mkdir(exist_ok=True)
    arguments = [
        f"-max_total_time={round(seconds)}",
        f"-max_len={LONGEST_INPUT}",
        "-len_control=0",
        "-timeout=120",
        "-rss_limit_mb=3000",
    ]
    atheris.Setup([sys.argv[0], *arguments, "-print_final_stats=1", str(corpus)], one)
    report()
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
