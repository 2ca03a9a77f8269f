"""docs/gpu.md: how to run on a GPU, what is predicted of it, what a measurement will have to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.gpu.parts import PARTS
from bench.gpu_model import hardware as hw
from bench.gpu_model import nlm
from bench.gpu_model.command import GOALS
from bench.gpu_model.costs import TRIPS
from bench.host_work.command import comparison, table

TITLES = {
    "accurate": "preset accurate, 256 x 256 x 160, 4 echoes, no files",
    "fast": "preset fast, 256 x 256 x 160, 4 echoes, no files",
    "mnlm": "joint non-local means of 4 components, 256 x 256 x 160",
    "tensor": "weighted tensor fit, 752,640 voxels of 69 volumes on the device",
}
SLOWEST = 8
"""Kernels a work that are listed."""


def document(result: Mapping[str, Any], after: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """The page for a result of `bench gpu-model` and two of `bench host-work`."""
    parts = (_head(result), _stay(), _goals(result), _steps(result), _host(after, before), _uses(result),
             _kernels(result), _assumptions(result))  # fmt: skip
    return "\n".join(parts)


def rows_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _head(result: Mapping[str, Any]) -> str:
    machine = result["host_work"]
    return f"""# On a GPU

Written by `python -m bench gpu-model --access access.json --doc docs/gpu.md` (`python -m bench access` makes
that file, `python -m bench host-work` the counts); nothing here is by hand.

**No GPU has run this engine yet. Every time on this page is a prediction, none is a measurement.** What is
tested without a GPU: every kernel compiles for every supported architecture without new spills
(`python -m bench cubin`); the tests that ask for a GPU run on a stand-in for CuPy (`make gpu-standin`); the
kernels run along their CUDA branch, block by block, on an emulator (`tests/emulator`); the CPU runs the same
source.

Counts of launches, bytes and waits of the chains: commit {machine["commit"]}, {machine["date"][:10]},
{machine["cpu"]}.
"""


def _stay() -> str:
    rows = [(f"`{part.name}`", part.title, f"{part.share:g}") for part in PARTS]
    total = sum(part.share for part in PARTS)
    return f"""## A quarter of an hour on a GPU

`python -m bench gpu --minutes 12` runs these parts in this order, each in processes of its own. What a part
leaves of its time the later ones get. `bench/results/GPU-DATE.json` is brought up to date after each part, so
an end before time costs the running part only; a part that fails is noted, and the rest goes on.

{rows_of(("part", "what", f"share of {total:g}"), rows)}
A machine without a network needs some packages and the compiled CPU kernels besides the source tree. The first
command collects them here (it refuses more than 64 MiB), the second unpacks and uses them there, in the copy of
the source tree that holds the folder `pack`:

    python -m bench gpu --pack pack --python 3.12
    sh pack/run.sh --minutes 12

There: Linux on the same kind of processor, that Python with CuPy, NumPy and SciPy.
`python -m bench gpu --rehearse` runs the same script on the stand-in for CuPy with tiny sizes, as the tests do;
it measures nothing.
"""


def _goals(result: Mapping[str, Any]) -> str:
    lines = []
    for name, goal in GOALS.items():
        found = result["works"].get(name)
        if found is not None:
            seconds = [found[gpu.name]["seconds"] for gpu in hw.GPUS]
            times = list(map(_duration, seconds))
            met = "met" if seconds[0] <= goal else f"**missed** by a factor of {seconds[0] / goal:.1f}"
            if uncounted := result["uncounted"][name]:
                times = [f"> {time}" for time in times]
                met = f"open: instructions of {', '.join(uncounted)} not counted"
            lines.append((TITLES[name], *times, _duration(goal), met, _parts(found[hw.H100.name])))
    head = (
        "work",
        *(f"{gpu.name}, predicted" for gpu in hw.GPUS),
        "goal on an H100",
        "prediction",
        "largest parts",
    )
    return f"""## Goals

{rows_of(head, lines)}
A part is the device's or the host's work of a step, whichever takes longer, its copies or its waits. Where
the host is the larger part, the device waits for it, and a faster GPU changes nothing.
Where a goal is missed, the floors of the kernels below show what a fuller use of the device alone would bring;
what goes beyond needs fewer instructions or bytes.
"""


def _parts(found: Mapping[str, Any]) -> str:
    """The three largest parts of a chain and their share of it."""
    parts = []
    for step in found["steps"]:
        busy = "device" if step["device"] >= step["host"] else "host"
        parts += [(step[busy], f"{step['step']}, {busy}"), (step["copies"], f"{step['step']}, copies")]
        parts.append((step["waits"], f"{step['step']}, waits"))
    largest = sorted(parts, reverse=True)[:3]
    return "; ".join(f"{what} {time / found['seconds']:.0%}" for time, what in largest)


def _steps(result: Mapping[str, Any]) -> str:
    text = "## Steps of the chains\n\nMilliseconds on an H100, predicted.\n"
    for name in ("accurate", "fast"):
        if name in result["works"]:
            rows = [
                (s["step"], *(f"{1e3 * s[k]:.2f}" for k in ("device", "host", "copies", "waits", "seconds")))
                for s in result["works"][name][hw.H100.name]["steps"]
            ]
            text += (
                f"\n{TITLES[name]}:\n\n{rows_of(('step', 'device', 'host', 'copies', 'waits', 'time'), rows)}"
            )
    return text


def _host(after: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    text = f"""## Host work

`python -m bench host-work` runs the chains on the stand-in for CuPy and counts what it is asked. Host seconds
are the process's CPU seconds outside the stand-in: Python, NumPy and SciPy, all threads together, on the
processor named above. Before: commit {before["machine"]["commit"]}, with the one line corrected that crashed on
every GPU.
"""
    for name, rows in after["presets"].items():
        text += f"\n{TITLES[name]}:\n\n{table(rows)}\n{comparison(before['presets'][name], rows)}"
        text += f"\nBefore:\n\n{table(before['presets'][name])}"
    return text


def _uses(result: Mapping[str, Any]) -> str:
    text = """## Slowest kernels of each work

All launches together, predicted milliseconds. Floor: the data sheet's bandwidth, and an instruction from every
scheduler in every cycle; no gaps. What lies between the two is what the assumptions below are worth.
"""
    for name, uses in result["uses"].items():
        rows = [
            (
                u["kernel"],
                str(u["launches"]),
                f"{u['bytes'] / 1e6:.0f}",
                *(f"{u[what][g.name]:.2f}" for g in hw.GPUS for what in ("ms", "floor_ms")),
            )
            for u in uses[:SLOWEST]
        ]
        times = (f"{gpu.name} {what}" for gpu in hw.GPUS for what in ("ms", "floor"))
        head = ("kernel", "launches", "MB", *times)
        text += f"\n{TITLES[name]}:\n\n{rows_of(head, rows)}"
    return text


def _kernels(result: Mapping[str, Any]) -> str:
    rows = [
        (
            k["kernel"], f"{k['bytes'] / 1e6:.0f}", str(k["registers"]), str(k["shared_bytes"]),
            f"{k['occupancy']:.0%}", k["limit"], "" if k["cycles"] is None else f"{k['cycles']:.0f}",
            f"{k['efficiency']:.0%}", *(_milliseconds(k, gpu.name) for gpu in hw.GPUS), _bound(k),
        )
        for k in result["kernels"]
    ]  # fmt: skip
    head = (
        "kernel", "MB", "registers", "shared [B]", "occupancy", "limited by", "cycles", "efficiency",
        *(f"{gpu.name} ms" for gpu in hw.GPUS), "bound on an H100",
    )  # fmt: skip
    counted = " and ".join([*TRIPS, nlm.KERNEL])
    return f"""## Kernels

One launch on a volume of 256 x 256 x 160 with 4 echoes or components, or on the diffusion series. MB: every
input read once, every output written once. Registers and shared memory: from the {hw.ARCHITECTURE} cubin;
occupancy follows from them. Cycles: of a scheduler for one work item of each of 32 lanes, counted in the
machine code with every inner loop taken once, for {counted} as often as the workload runs it; where
two forms of a loop exclude each other that is too high. Kernels with long loops that nobody counted have no
cycles, and their times are lower bounds (>), from their bytes alone. Efficiency: useful
bytes of what the requests fetch, where the emulator's traces give it, else 100 %. The time is the longer of
memory and instructions, and the gap.

{rows_of(head, rows)}"""


def _milliseconds(kernel: Mapping[str, Any], gpu: str) -> str:
    return f"{'> ' if kernel['cycles'] is None else ''}{kernel['predicted'][gpu]['ms']:.3f}"


def _bound(kernel: Mapping[str, Any]) -> str:
    """What takes longer on an H100."""
    times = kernel["predicted"][hw.H100.name]
    if kernel["cycles"] is None:
        return ""
    return "memory" if times["memory_ms"] >= times["issue_ms"] else "instructions"


def _assumptions(result: Mapping[str, Any]) -> str:
    rows = [(name, f"{a['value']:g} {a['unit']}", a["meaning"]) for name, a in result["assumptions"].items()]
    cards = [
        (g["name"], f"{g['bandwidth'] / 1e12:g} TB/s", f"{g['multiprocessors']}", f"{g['clock'] / 1e9:g} GHz")
        for g in result["gpus"]
    ]
    return f"""## Assumptions

Of the cards' data sheets (clock: a usual one under load):

{rows_of(("card", "memory", "multiprocessors", "clock"), cards)}
Taken without a measurement; a stay on a GPU replaces them:

{rows_of(("name", "value", "meaning"), rows)}
The host's part of a step is what `bench host-work` clocked on the processor named above plus the calls into
CuPy at the times of this table. Device and host work side by side, so the longer counts; copies and waits stop
both. The work of CuPy's own operations is their bytes at a copy's bandwidth. Caches are left out: what fits
into the second level (50 MB) is faster than predicted.
"""


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.1f} ms"
