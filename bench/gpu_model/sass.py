"""Instructions of a kernel's machine code, loop by loop: NVRTC's cubin through nvdisasm.

nvdisasm is in the wheel nvidia-cuda-nvdisasm and in CUDA's toolkit. A loop is what stands between a label and a
later branch back to it. Subroutines that are called (slow paths of divisions) are left out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

CYCLES = {"fp32": 1.0, "integer": 2.0, "fp64": 2.0, "special": 8.0, "memory": 4.0, "other": 1.0}
"""Cycles of one scheduler that a warp's instruction holds its pipe: lanes of a warp over those that the
programming guide states for compute capability 9.0 (results a cycle and multiprocessor) over the schedulers."""

_KINDS = (
    ("fp32", r"FADD|FMUL|FFMA|FMNMX|FSEL|FSETP|FSET|FCHK|FSWZ"),
    ("fp64", r"DADD|DMUL|DFMA|DSETP|DMNMX"),
    ("special", r"MUFU|I2F|F2I|F2F|FRND|I2FP|F2FP|POPC|FLO"),
    ("memory", r"LD|ST|ATOM|RED|SHFL|CCTL|LDSM"),
    ("integer", r"IADD|IMAD|IMNMX|IABS|ISETP|LEA|LOP|SHF|SEL|PRMT|VIMNMX|VIADD|ISET|BMSK|SGXT|LOP3|PLOP|IDP"),
)
_LABEL = re.compile(r"^(\.L_x_\d+):")
_CODE = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*);")
_TARGET = re.compile(r"`\((\.L_x_\d+)\)")


@dataclass(frozen=True)
class Loop:
    """A loop: its depth (0 outermost) and its instructions without those of the loops inside."""

    depth: int
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Code:
    """A kernel's instructions: outside loops, and loop by loop in order of their heads."""

    outside: Mapping[str, int]
    loops: tuple[Loop, ...]

    def cycles(self, trips: Mapping[int, float] | None = None) -> float:
        """Cycles of a scheduler a warp and work item: the busiest pipe's, or one for every instruction.

        The outermost loop is that over work items. `trips` gives how often the loops inside (by number in
        `loops`) run an item; others run once.
        """
        total: Counter[str] = Counter()
        for number, loop in enumerate(self.loops):
            times = 1.0 if trips is None else trips.get(number, 1.0)
            for kind, count in loop.counts.items():
                total[kind] += count * times  # type: ignore[assignment]
        if not self.loops:
            total.update(self.outside)
        return max(sum(total.values()), *(CYCLES[kind] * count for kind, count in total.items()))

    @property
    def instructions(self) -> int:
        """In the loops, each counted once."""
        return sum(sum(loop.counts.values()) for loop in self.loops) or sum(self.outside.values())


def kind_of(opcode: str) -> str:
    """Pipe of an instruction."""
    return next((kind for kind, names in _KINDS if re.match(names, opcode)), "other")


def parse(text: str) -> dict[str, Code]:
    """Code of every kernel in nvdisasm's output."""
    found = {}
    for part in re.split(r"^\.text\.", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition(":\n")
        found[name] = _code(body)
    return found


def _code(body: str) -> Code:
    kinds: list[str] = []
    labels: dict[str, int] = {}
    branches: list[tuple[int, str]] = []
    for line in body.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(kinds)
        elif "$__internal" in line and line.rstrip().endswith(":"):
            break  # subroutines follow
        elif "WARPSYNC.COLLECTIVE" in line:
            break  # what diverged warps do follows
        elif code := _CODE.match(line):
            if code[1].startswith("BRA") and (target := _TARGET.search(code[2])):
                branches.append((len(kinds), target[1]))
            kinds.append("other" if code[1] == "NOP" else kind_of(code[1]))
    spans: dict[int, int] = {}
    for at, name in branches:
        head = labels.get(name, at + 1)
        if head < at:  # a branch to itself ends the code
            spans[head] = max(spans.get(head, at), at)
    return _nested(kinds, sorted(spans.items()))


def _nested(kinds: list[str], spans: list[tuple[int, int]]) -> Code:
    """Every instruction belongs to the innermost loop around it."""
    owners = [
        max((i for i, (a, b) in enumerate(spans) if a <= at <= b), key=lambda i: spans[i][0], default=-1)
        for at in range(len(kinds))
    ]
    counts: list[Counter[str]] = [Counter() for _ in spans]
    outside: Counter[str] = Counter()
    for kind, owner in zip(kinds, owners, strict=True):
        (outside if owner < 0 else counts[owner])[kind] += 1
    depths = [sum(a < start and end <= b for a, b in spans) for start, end in spans]
    return Code(outside, tuple(Loop(d, dict(c)) for d, c in zip(depths, counts, strict=True)))


def disassemble(cubin: bytes) -> dict[str, Code] | None:
    """Code of every kernel of a cubin; None where nvdisasm is not installed."""
    text = listing(cubin)
    return None if text is None else parse(text)


def listing(cubin: bytes) -> str | None:
    """Return the output of nvdisasm; None where it is not installed."""
    tool = nvdisasm()
    if tool is None:
        return None
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        done = subprocess.run([tool, "-c", file.name], capture_output=True, text=True, check=True)
    return done.stdout


@cache
def nvdisasm() -> str | None:
    """Path of nvdisasm: from its wheel, or on PATH."""
    try:
        listed = files("nvidia-cuda-nvdisasm") or []
    except PackageNotFoundError:
        return shutil.which("nvdisasm")
    path = next(Path(str(f.locate())) for f in listed if f.name == "nvdisasm")
    path.chmod(0o755)
    return str(path)
