"""Libraries that run a kernel source along its CUDA branch on the CPU, kept under build/emulator."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from bench.compiler import compiler, compiler_version
from qsmengine.backend.kernel import Kernel
from qsmengine.backend.sources import source_directory

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = Path(__file__).with_name("runtime")
FOLDER = ROOT / "build" / "emulator"
PLAIN = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-w")
EXACT = ("-x", "c++", "-O1", "-gdwarf-4", "-ffp-contract=off", "-fno-strict-aliasing", "-fsanitize=thread")
FUSED = ("-x", "c++", "-O2", "-ffp-contract=fast", *(["-mfma"] if platform.machine() == "x86_64" else []))
_ONLY_GCC = ("--param=tsan-instrument-func-entry-exit=0", "-fno-tree-vectorize", "-fno-toplevel-reorder")
_ONLY_CLANG = ("-mllvm", "-tsan-instrument-func-entry-exit=0", "-mllvm", "-tsan-instrument-read-before-write=1")
_POISONED = ("-ftrivial-auto-var-init=pattern",)

_HEAD = """#include "{source}"
EMULATED_SHARED(1) char emulated_last_guard[] = EMULATED_GUARD;
extern "C" void emulator_run(long, int, int, void (*)(const void*), const void*, unsigned long);
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT int emulator_complex_alignment() {{ return alignof(Complex); }}
"""
_ENTRY = """EXPORT void emulate_{name}(long emulated_grid, int emulated_order, {parameters}) {{
  auto emulated_body = [=] {{ {name}({arguments}); }};
  using Body = decltype(emulated_body);
  auto emulated_entry = [](const void* body) {{ (*static_cast<const Body*>(body))(); }};
  emulator_run(emulated_grid, TILE_THREADS, emulated_order, emulated_entry, &emulated_body,
               sizeof emulated_body);
}}
"""


def build(source: Path, kernels: Sequence[Kernel], *, fused: bool = False, portable: bool = False) -> Path:
    """Library of a kernel source that checks every access, or, `fused`, that only fuses multiply-adds.

    portable: fibers switch as they do on processors other than x86-64.
    """
    text = _HEAD.format(source=source) + "".join(_entry(kernel) for kernel in kernels)
    flags = [*PLAIN, *(FUSED if fused else (*EXACT, *_compiler_flags()))]
    words = ["-include", str(RUNTIME / "cuda.h"), f"-I{source_directory()}"]
    headers = [source, *sorted(source_directory().glob("*.h")), *sorted(RUNTIME.iterdir())]
    library = FOLDER / f"{source.stem}-{_key(text, *flags, str(portable), files=headers)}.so"
    if not library.is_file():
        objects = [str(_runtime_object(path, portable)) for path in sorted(RUNTIME.glob("*.cpp"))]
        with _into(library) as temporary:
            wrapper, compiled = temporary / "wrapper.cpp", temporary / "kernels.o"
            wrapper.write_text(text, encoding="utf-8")
            _run(compiler(), *flags, *words, "-c", str(wrapper), "-o", str(compiled))
            _run(compiler(), "-shared", str(compiled), *objects, "-o", str(temporary / library.name))
            (temporary / library.name).replace(library)
    return library


@cache
def unsupported() -> str | None:
    """Why this machine cannot run the emulator, or None."""
    if platform.system() != "Linux":
        return "the emulator needs ELF sections: Linux only"
    if not _accepts("-fsanitize=thread"):
        return f"{compiler()} has no -fsanitize=thread"
    return None


def _entry(kernel: Kernel) -> str:
    names = [a.name for a in kernel.arguments] + list(kernel.dims)
    return _ENTRY.format(name=kernel.name, parameters=kernel.c_parameters, arguments=", ".join(names))


@cache
def _runtime_object(path: Path, portable: bool) -> Path:
    flags = [*PLAIN, "-O2", "-g", *(["-DEMULATOR_UCONTEXT"] if portable else [])]
    built = FOLDER / f"{path.stem}-{_key(*flags, files=sorted(RUNTIME.iterdir()))}.o"
    if not built.is_file():
        with _into(built) as temporary:
            _run(compiler(), *flags, "-c", str(path), "-o", str(temporary / built.name))
            (temporary / built.name).replace(built)
    return built


@cache
def _compiler_flags() -> tuple[str, ...]:
    """Flags that only this compiler knows."""
    own = _ONLY_CLANG if "clang" in compiler_version() else _ONLY_GCC
    return own + (_POISONED if _accepts(*_POISONED) else ())


def _accepts(*flags: str) -> bool:
    command = [compiler(), *flags, "-x", "c++", "-fsyntax-only", "/dev/null"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _key(*texts: str, files: Sequence[Path]) -> str:
    digest = hashlib.sha256("\0".join((compiler(), compiler_version(), *texts)).encode())
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _into(target: Path) -> Iterator[Path]:
    """A folder next to `target`, from which a finished file is moved into place in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        yield Path(folder)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
