"""docs/performance.md from a result of `python -m bench qsm`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.markdown import table

GOAL_SHAPE = [256, 256, 160]
"""Grid that the goals of presets are for."""
PRESET_GOALS: Mapping[str, tuple[float | None, float | None]] = {"accurate": (240.0, 4.0), "fast": (25.0, None)}
"""Preset -> on two cores: largest seconds, largest memory [GiB]; None: no goal."""
FACTOR_GOAL = 2.0
GROWTH_GOAL = 2.0
"""Seconds per ten million voxels."""
WITH_GOAL = ("background/vsharp",)
"""Methods without iterations whose whole run has the goal of an iteration."""

HEAD = """\
# Performance

Written by `python -m bench qsm --doc docs/performance.md`; nothing here is by hand. Every run is a process of
its own. Memory is the largest resident size of that process: interpreter, libraries, input series and all maps
included.

The head is a virtual one on a grid of {shape}, {fov} mm, SNR 100, at 3 T (see
`bench/qsm/heads.py`). Masks, wraps and iteration counts are those of the default parameters.
What is predicted of a GPU, which has not run the engine yet, is in [gpu.md](gpu.md).
"""


def document(result: Mapping[str, Any]) -> str:
    """Markdown of a result."""
    from bench.qsm.heads import FIELD_OF_VIEW

    shape, fov = (" x ".join(f"{v:g}" for v in triple) for triple in (result["shape"], FIELD_OF_VIEW))
    parts = [HEAD.format(shape=shape, fov=fov), _machine(result["machine"])]
    if "presets" in result:
        goals = PRESET_GOALS if list(result["shape"]) == GOAL_SHAPE else {}
        parts += [_presets(result["presets"], goals), _steps(result["presets"])]
    if "methods" in result:
        parts.append(_methods(result["methods"]))
    if "romeo" in result:
        parts.append(_growth(result["romeo"]))
    return "\n".join(parts)


def verdict(value: float, goal: float | None) -> str:
    """Goal and whether `value` meets it."""
    if goal is None:
        return ""
    return f"{goal:g}: {'met' if value <= goal else '**missed**'}"


def _machine(facts: Mapping[str, Any]) -> str:
    return (
        f"Machine: {facts['cpu']}, {facts['threads']} threads on {facts['device']}, "
        f"{facts['gpu'] or 'no GPU'};\n{facts['fft']}, NumPy {facts['numpy']}, Python {facts['python']}; "
        f"{facts['date'][:10]}, commit {facts['commit']}, load at the start {facts['load'][0]}.\n"
    )


def _presets(rows: Sequence[Mapping[str, Any]], goals: Mapping[str, tuple[float | None, float | None]]) -> str:
    lines = []
    for row in rows:
        seconds, memory = goals.get(row["preset"], (None, None))
        processor = sum(step["cpu_seconds"] for step in row["steps"])
        cells = (f"{row['seconds']:.1f}", verdict(row["seconds"], seconds), f"{processor:.1f}")
        more = (f"{row['peak_gib']:.2f}", verdict(row["peak_gib"], memory))
        lines.append((row["preset"], str(row["echoes"]), *cells, *more))
    head = ("preset", "echoes", "s", "goal [s]", "CPU s, all threads", "GiB", "goal [GiB]")
    return "## Presets\n\n" + table(head, lines)


def _steps(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        (
            row["preset"],
            step["step"],
            f"{step['seconds']:.2f}",
            f"{step['cpu_seconds']:.2f}",
            f"{step['iterations']} ({step['stopped']})" if step["iterations"] else "",
        )
        for row in rows
        for step in row["steps"]
    ]
    return "## Steps of the presets\n\n" + table(("preset", "step", "s", "CPU s", "iterations"), lines)


def _methods(rows: Sequence[Mapping[str, Any]]) -> str:
    text = (
        "## Methods against their own transforms\n\n"
        "Seconds of one iteration (of a whole run for methods without iterations) over the seconds that the\n"
        "FFTs or cosine and sine transforms inside it took in the same run. Goal for an iteration, and for\n"
        f"V-SHARP: at most {FACTOR_GOAL:g}. Methods without any transform have no factor.\n\n"
    )
    lines = []
    for row in sorted(rows, key=lambda r: (r["timed"], r["method"])):
        has_goal = row["timed"] == "iteration" or row["method"] in WITH_GOAL
        factor = row["factor"]
        goal = verdict(factor, FACTOR_GOAL) if has_goal and factor is not None else ""
        share = "" if factor is None else f"{factor:.2f}"
        counts = f"{row['ffts']:g}" if row["ffts"] else "0"
        memory = f"{row['peak_gib']:.2f}"
        lines.append((row["method"], row["timed"], f"{row['seconds']:.3f}", counts, share, goal, memory))
    return text + table(("method", "timed", "s", "transforms", "factor", "goal", "GiB"), lines)


def _growth(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        (
            row["region"],
            str(row["voxels"]),
            f"{row['seconds']:.2f}",
            f"{row['cpu_seconds']:.2f}",
            f"{row['per_ten_million']:.2f}",
            verdict(row["per_ten_million"], GROWTH_GOAL),
        )
        for row in rows
    ]
    text = (
        "## ROMEO\n\nGrowth in space of the first echo on one core. The whole image is mostly noise around\n"
        "the head, where trees far apart in memory join.\n\n"
    )
    return text + table(("region", "voxels", "s", "CPU s", "s per 10 million voxels", "goal"), lines)
