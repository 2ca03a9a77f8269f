"""Running a kernel on the emulator: its arrays with gaps between them, and what the runtime reports."""

from __future__ import annotations

import copy
import ctypes
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.backend.cuda import launch_shape
from qsmengine.backend.kernel import DTYPES, Arg, Kernel

ORDERS = {"ascending": 0, "descending": 1, "shuffled": 2}
_ROLES = {"in": 0, "out": 1, "inout": 2}
_SCALARS = {"f32": ctypes.c_float, "f64": ctypes.c_double, "i32": ctypes.c_int, "i64": ctypes.c_longlong}
_GAP = 256
"""Bytes between arrays, and what their addresses are multiples of, as a GPU's allocator does it."""

ROW = np.dtype(
    [(name, np.int64) for name in ("place", "argument", "write", "requests", "scalars", "units", "useful")]
)


@dataclass
class Arena:
    """Copies of a kernel's arrays in one block of memory, with gaps that belong to none of them."""

    kernel: Kernel
    values: Mapping[str, Any]
    places: dict[str, int] = field(default_factory=dict)

    @cached_property
    def memory(self) -> np.ndarray:
        """The block of bytes; its address is a multiple of the gap."""
        end = _GAP
        for arg in self.arrays:
            self.places[arg.name] = end
            end += self.values[arg.name].nbytes // _GAP * _GAP + 2 * _GAP
        raw = np.full(end + _GAP, 0xAB, np.uint8)
        return raw[-raw.ctypes.data % _GAP :][:end]

    @property
    def arrays(self) -> list[Arg]:
        """The array arguments, in the order of the signature."""
        return [a for a in self.kernel.arguments if a.is_array]

    def address(self, name: str) -> int:
        """Address of an array in the arena."""
        return self.memory.ctypes.data + self.places[name]

    def view(self, name: str) -> np.ndarray:
        """The bytes of an array."""
        size = self.values[name].nbytes
        return self.memory[self.places[name] :][:size]

    def load(self) -> None:
        """Copy the values into the arena."""
        for arg in self.arrays:
            self.memory  # noqa: B018  (lays the arrays out)
            self.view(arg.name)[...] = np.frombuffer(self.values[arg.name].tobytes(), np.uint8)

    def store(self) -> None:
        """Copy results back into the values."""
        for arg in self.arrays:
            if arg.role != "in":
                value = self.values[arg.name]
                value.reshape(-1)[...] = np.frombuffer(self.view(arg.name).tobytes(), value.dtype)


class Emulator:
    """A library made by `build`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._library = ctypes.CDLL(str(path))
        for name in ("emulator_problems", "emulator_barriers"):
            getattr(self._library, name).restype = ctypes.c_char_p
        self._library.emulator_rows.restype = ctypes.c_long

    def run(
        self,
        kernel: Kernel,
        values: Mapping[str, Any],
        *,
        order: str = "ascending",
        grid: int | None = None,
        without: str | None = None,
        flush: bool = False,
    ) -> list[str]:
        """Run `kernel` on NumPy arrays and return the problems found; results are written into `values`.

        grid: number of blocks, by default what the GPU host launches. without: a barrier, "file:line", at which
        no thread waits. flush: subnormals become 0, as on a GPU.
        """
        bound = kernel.bind(values)
        blocks = grid or launch_shape(kernel, bound)[0][0]
        arena = Arena(kernel, values)
        arena.load()
        self._declare(arena)
        file, _, line = (without or ":0").rpartition(":")
        self._library.emulator_skip(file.encode(), int(line))
        self._library.emulator_flush_subnormals(int(flush))
        types: list[Any] = [ctypes.c_long, ctypes.c_int]
        arguments: list[Any] = [blocks, ORDERS[order]]
        for arg in kernel.arguments:
            types.append(ctypes.c_void_p if arg.is_array else _SCALARS[arg.type])
            arguments.append(arena.address(arg.name) if arg.is_array else values[arg.name])
        function = getattr(self._library, f"emulate_{kernel.name}")
        function.argtypes, function.restype = types + [ctypes.c_longlong] * len(kernel.dims), None
        function(*arguments, *bound.extents)
        arena.store()
        return self._problems()

    def barriers(self) -> set[str]:
        """The barriers reached since the last call, "file:line"."""
        return set(self._library.emulator_barriers().decode().split())

    def requests(self, kernel: Kernel, values: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
        """Requests of warps in a run: a ROW for every place, argument and direction, and the source lines.

        A first run finds the instructions that access memory. A second counts those together that belong to one
        source line, called from one place: the branches of a select, for example.
        """
        library = self._library
        library.emulator_trace(1)
        self.run(kernel, copy.deepcopy(values))
        offsets = self._rows()["place"].tolist()
        chains = _chains(self.path, tuple(offsets))
        numbers = {chain: n for n, chain in enumerate(dict.fromkeys(chains))}
        library.emulator_trace(1)
        for offset, chain in zip(offsets, chains, strict=True):
            library.emulator_place(ctypes.c_size_t(offset), ctypes.c_size_t(numbers[chain]))
        self.run(kernel, values)
        rows = self._rows()
        library.emulator_trace(0)
        return rows, [list(numbers)[n][0] for n in rows["place"]]

    def _rows(self) -> np.ndarray:
        rows = np.zeros(self._library.emulator_rows(None), ROW)
        self._library.emulator_rows(ctypes.c_void_p(rows.ctypes.data))
        return rows

    def _declare(self, arena: Arena) -> None:
        start = arena.memory.ctypes.data
        library = self._library
        library.emulator_arena(ctypes.c_size_t(start), ctypes.c_size_t(start + arena.memory.nbytes))
        paired = library.emulator_complex_alignment() >= DTYPES["c64"].itemsize
        for arg in arena.arrays:
            first = arena.address(arg.name)
            last = first + arena.values[arg.name].nbytes
            is_complex = arg.type == "c64"
            unit = DTYPES["f32"].itemsize if is_complex else DTYPES[arg.type].itemsize
            library.emulator_buffer(
                arg.name.encode(),
                *(ctypes.c_size_t(first), ctypes.c_size_t(last)),
                *(unit, _ROLES[arg.role], int(is_complex and paired)),
            )

    def _problems(self) -> list[str]:
        lines = [line.split("\t") for line in self._library.emulator_problems().decode().splitlines()]
        chains = _chains(self.path, tuple(int(offset) for offset, _ in lines))
        found = [
            f"{text} ({chain[0]})" if int(at) else text for (at, text), chain in zip(lines, chains, strict=True)
        ]
        return list(dict.fromkeys(found))


@cache
def _chains(library: Path, offsets: tuple[int, ...]) -> list[tuple[str, ...]]:
    """Source lines, "file:line", of instructions: their own, then those of the calls inlined around them."""
    if not offsets:
        return []
    command = ["addr2line", "-a", "-i", "-e", str(library), *map(hex, offsets)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [Path(line.partition(" ")[0]).name for line in text.splitlines()]
    starts = [n for n, line in enumerate(lines) if line.startswith("0x")]
    return [tuple(lines[a + 1 : b]) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
