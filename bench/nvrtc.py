"""Compiling kernels for GPUs without one: NVRTC's wheel through ctypes, and what the machine code needs."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from qsmengine.backend.cuda import COMPILE_OPTIONS
from qsmengine.backend.sources import inlined_source

PACKAGES = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu13", "nvidia-cuda-nvrtc-cu12")
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
CUPY_OPTIONS = ("-ftz=true",)
"""Options that CuPy adds to every module."""


class NvrtcError(RuntimeError):
    """NVRTC is missing or refused a source; the text is its log."""


@dataclass(frozen=True)
class Usage:
    """Resources of one kernel on one architecture, as ptxas reports them."""

    kernel: str
    arch: str
    registers: int
    shared_bytes: int
    stack_bytes: int
    spill_store_bytes: int
    spill_load_bytes: int

    @property
    def spills(self) -> int:
        """Bytes written and read because registers ran out."""
        return self.spill_store_bytes + self.spill_load_bytes


def compile_source(source: str, arch: str) -> list[Usage]:
    """Resources of the kernels of one file in kernels/ on `arch`, compiled with the package's options."""
    return machine_code(source, arch)[0]


@cache
def machine_code(source: str, arch: str) -> tuple[list[Usage], bytes]:
    """Resources of the kernels of one file in kernels/ on `arch`, and the cubin that holds them."""
    options = (
        *COMPILE_OPTIONS,
        *CUPY_OPTIONS,
        "-DQSMENGINE_SOURCES=0ull",
        f"-arch={arch}",
        "--ptxas-options=-v",
    )
    log, cubin = _compiled(inlined_source(source), source, options)
    return parse_log(log, arch), cubin


def ptx(source: str, arch: str = "compute_90") -> str:
    """Assembly of one file of kernels/ for a virtual architecture."""
    options = (*COMPILE_OPTIONS, *CUPY_OPTIONS, "-DQSMENGINE_SOURCES=0ull", f"-arch={arch}")
    return _compiled(inlined_source(source), source, options, "PTX")[1].decode()


def compile_text(text: str, name: str, options: tuple[str, ...]) -> str:
    """NVRTC's log of compiling `text`; raises NvrtcError where it does not compile."""
    return _compiled(text, name, options)[0]


def _compiled(text: str, name: str, options: tuple[str, ...], output: str = "CUBIN") -> tuple[str, bytes]:
    """Log and output; a cubin needs an architecture of the form sm_XX."""
    library = _library()
    program = ctypes.c_void_p()
    _check(
        library, library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None)
    )
    try:
        array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        status = library.nvrtcCompileProgram(program, len(options), array)
        log = _output(library, program, "ProgramLog").value.decode()
        if status != 0:
            raise NvrtcError(f"{name} {' '.join(options)}\n{log}")
        return log, _output(library, program, output).raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _output(library: Any, program: ctypes.c_void_p, what: str) -> Any:
    size = ctypes.c_size_t()
    _check(library, getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(library, getattr(library, f"nvrtcGet{what}")(program, buffer))
    return buffer


def parse_log(log: str, arch: str) -> list[Usage]:
    """The numbers in ptxas' verbose output, one Usage a kernel."""
    found = []
    for part in re.split(r"Compiling entry function '", log)[1:]:
        numbers = [_number(part, pattern) for pattern in _PATTERNS]
        found.append(Usage(part.partition("'")[0], arch, *numbers))
    return found


_PATTERNS = (
    r"Used (\d+) registers",
    r"(\d+) bytes smem",
    r"(\d+) bytes stack frame",
    r"(\d+) bytes spill stores",
    r"(\d+) bytes spill loads",
)


def _number(text: str, pattern: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0


@cache
def supported_architectures() -> tuple[str, ...]:
    """Those of ARCHITECTURES that this NVRTC can compile for."""
    library = _library()
    count = ctypes.c_int()
    _check(library, library.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
    numbers = (ctypes.c_int * count.value)()
    _check(library, library.nvrtcGetSupportedArchs(numbers))
    return tuple(arch for arch in ARCHITECTURES if int(arch.removeprefix("sm_")) in set(numbers))


@cache
def version() -> str:
    """Version of NVRTC."""
    library, major, minor = _library(), ctypes.c_int(), ctypes.c_int()
    _check(library, library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}"


@cache
def _library() -> Any:
    paths = sorted(_installed())
    if not paths:
        raise NvrtcError(f"no NVRTC: install {PACKAGES[0]}")
    library = ctypes.CDLL(str(paths[-1]))
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library


def _installed() -> list[Path]:
    found: list[Path] = []
    for package in PACKAGES:
        try:
            listed = files(package) or []
        except PackageNotFoundError:
            continue
        found.extend(Path(str(f.locate())) for f in listed if re.fullmatch(r"libnvrtc\.so\.\d+", f.name))
    return found


def _check(library: Any, status: int) -> None:
    if status != 0:
        raise NvrtcError(library.nvrtcGetErrorString(status).decode())
