"""Printing a plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qsmengine.backend.device import Device
from qsmengine.backend.memory import available_memory
from qsmengine.cli.reporter import Reporter
from qsmengine.pipeline.plan import Plan, format_bytes


def print_plan(reporter: Reporter, plan: Plan, device: Device, files: Sequence[Path]) -> None:
    """Print steps with their memory, and the files that would be written."""
    have = available_memory(device)
    reporter.say(f"device {device}, {'?' if have is None else format_bytes(have)} available")
    for index, step in enumerate(plan.steps, start=1):
        text = f"{index}. {step.title:<28} {format_bytes(step.memory):>9}  {', '.join(step.outputs.values())}"
        reporter.say(text, step=step.section, method=step.method.name, memory=step.memory)
    reporter.say("would write:")
    for path in files:
        there = " (exists)" if path.exists() else ""
        reporter.say(f"  {path}{there}", file=str(path))
