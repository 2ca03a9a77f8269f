"""Command line: fit the intervals of chi, or count how often they contain the truth.

    python -m bench uncertainty --fit                      # development heads -> calibration.json
    python -m bench uncertainty --doc docs/uncertainty.md  # held-out heads -> tables

Run both after a change of a preset's chain: the coefficients belong to its errors.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.accuracy.heads import default_folder
from bench.accuracy.people import DEVELOPMENT, HELD_OUT
from bench.machine import describe
from bench.uncertainty.document import document
from bench.uncertainty.fit import coefficients, region_shares
from bench.uncertainty.jobs import PRESETS, jobs_of
from bench.uncertainty.samples import Sample, sample_of
from qsmengine.backend.device import resolve_device
from qsmengine.stages import uncertainty

CALIBRATION = Path(uncertainty.__file__).with_name("calibration.json")
COMMAND = "python -m bench uncertainty --fit"


def main(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    role, people = ("development", DEVELOPMENT) if options.fit else ("held-out", HELD_OUT)
    device = resolve_device(options.device)
    samples = []
    jobs = [
        job
        for job in jobs_of(role, tuple(options.heads or people), options.voxel_size)
        if job.preset in options.presets
    ]
    for number, job in enumerate(jobs, start=1):
        print(f"{number:3}/{len(jobs)} head {job.subject} {job.scenario.name}: {job.preset}", flush=True)
        samples.append(sample_of(job, options.cache, device))
    if options.fit:
        write_calibration(samples, options.calibration)
        print(options.calibration)
        return 0
    text = document(samples, describe(device))
    if options.doc is None:
        print(text)
        return 0
    options.doc.write_text(text, encoding="utf-8")
    print(options.doc)
    return 0


def write_calibration(samples: Sequence[Sample], path: Path) -> None:
    """Write the coefficients of the chains that `samples` come from; the file keeps those of other chains."""
    content: dict[str, Any] = {"command": COMMAND, "chains": {}, "regions": {}}
    if path.exists():
        content |= json.loads(path.read_text(encoding="utf-8"))
    for name in dict.fromkeys(sample.job.calibration for sample in samples):
        chosen = [sample for sample in samples if sample.job.calibration == name]
        weights = coefficients(chosen)
        content["chains"][name] = weights
        content["regions"][name] = region_shares(chosen, {int(key): found for key, found in weights.items()})
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench uncertainty",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--fit", action="store_true", help="fit the coefficients on development heads")
    add("--heads", type=int, nargs="+", choices=(*DEVELOPMENT, *HELD_OUT), help="[default: all of the role]")
    add("--presets", nargs="+", choices=tuple(PRESETS), default=tuple(PRESETS), help="[default: all]")
    add("--voxel-size", type=float, default=2.0, help="[mm, default: 2]")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 [default: cpu]")
    add("--cache", type=Path, default=default_folder(), help="folder of the heads")
    add("--calibration", type=Path, default=CALIBRATION, help="file of the coefficients, for --fit")
    add("--doc", type=Path, nargs="?", const=Path("docs/uncertainty.md"), help="write the document here")
    return parser
