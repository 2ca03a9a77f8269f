"""Printed plans of a session and of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qsmengine.backend.device import Device
from qsmengine.backend.memory import available_memory
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cohort.plan.model import CohortPlan, Session
from qsmengine.pipeline.run.plan import Plan, format_bytes


def print_plan(reporter: Reporter, plan: Plan, device: Device, files: Sequence[Path]) -> None:
    """Print the steps with their memory, and the files that would be written."""
    have = available_memory(device)
    reporter.say(f"device {device}, {'?' if have is None else format_bytes(have)} available")
    for index, step in enumerate(plan.steps, start=1):
        text = f"{index}. {step.title:<28} {format_bytes(step.memory):>9}  {', '.join(step.outputs.values())}"
        reporter.say(text, step=step.section, method=step.method.name, memory=step.memory)
    reporter.say("would write:")
    for path in files:
        there = " (exists)" if path.exists() else ""
        reporter.say(f"  {path}{there}", file=str(path))


def print_cohort(reporter: Reporter, plan: CohortPlan, device: Device, have: int | None) -> None:
    """Print a cohort's sessions with their steps, sizes, memory and missing inputs, and the totals."""
    reporter.say(f"device {device}, {'?' if have is None else format_bytes(have)} available")
    for session in plan.sessions:
        _print_session(reporter, session, have)
    reporter.notes(plan.notes)
    hidden = sum(len(s.notes) + sum(len(step.notes) for step in s.steps) for s in plan.sessions)
    if hidden and not reporter.verbose:
        reporter.note(f"{hidden} more on sessions and steps (parts of series left out, choices); -v lists them")
    totals = cohort_totals(plan, have)
    reporter.say(
        f"{totals['sessions']} sessions, {totals['whole']} can run completely, {totals['partial']} in part, "
        f"{totals['blocked']} blocked; {totals['steps']} steps of {totals['voxels'] / 1e6:.1f} M voxels, "
        f"up to {format_bytes(totals['memory'])} each",
        **totals,
    )
    if totals["too_large"]:
        reporter.note(f"{totals['too_large']} steps need more memory than is available on {device}")


def _print_session(reporter: Reporter, session: Session, have: int | None) -> None:
    reporter.say(session.key, session=session.key)
    for problem in session.problems:
        reporter.say(f"  missing: {problem}", session=session.key)
    for step in session.steps:
        size = f"{step.voxels / 1e6:8.2f} M voxels {format_bytes(step.memory):>9}" if step.voxels else ""
        state = "cannot run" if step.problems else f"{len(step.outputs)} files"
        large = ", more than available" if have is not None and step.memory > have else ""
        text = f"  {step.name:<28}{size:>28}  {state}{large}"
        reporter.say(text.rstrip(), session=session.key, step=step.name, memory=step.memory)
        for problem in step.problems:
            reporter.say(f"    missing: {problem}", session=session.key, step=step.name)
        for note in step.notes:
            reporter.detail(f"    note: {note}")
    for note in session.notes:
        reporter.detail(f"  note: {note}")


def cohort_totals(plan: CohortPlan, have: int | None) -> dict[str, int]:
    """Count a plan's complete, partial and blocked sessions, steps and voxels; find its peak memory [bytes]."""
    steps = [step for session in plan.sessions for step in session.steps if not step.problems]
    whole = [s for s in plan.runnable if not any(step.problems for step in s.steps)]
    return {
        "sessions": len(plan.sessions),
        "whole": len(whole),
        "partial": len(plan.runnable) - len(whole),
        "blocked": len(plan.sessions) - len(plan.runnable),
        "steps": len(steps),
        "voxels": sum(step.voxels for step in steps),
        "memory": max((step.memory for step in steps), default=0),
        "too_large": 0 if have is None else sum(step.memory > have for step in steps),
    }


def cohort_tree(plan: CohortPlan, device: str, have: int | None) -> dict[str, object]:
    """Convert a cohort's plan to JSON types; the settings, shared by all steps, appear once."""
    settings = next((step.settings for session in plan.sessions for step in session.steps if step.settings), {})
    return {
        "bids": plan.bids,
        "out": plan.out,
        "device": device,
        "available": have,
        "totals": cohort_totals(plan, have),
        "notes": list(plan.notes),
        "settings": settings,
        "sessions": [
            session.model_dump(mode="json", exclude={"steps": {"__all__": {"settings"}}})
            for session in plan.sessions
        ],
    }
