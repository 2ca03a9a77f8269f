"""CUDA components that CuPy needs in addition to the driver: the compiler NVRTC, its headers, CUDA's libraries.

Like the engine, CuPy compiles its kernels at first use, so without NVRTC nothing runs on a GPU. NVIDIA's wheels
contain all components (``pip install "qsmengine[cuda12]"``), as does a CUDA toolkit on the machine.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from qsmengine.errors import DeviceError

LIBRARIES = {"cufft": "cuFFT", "cublas": "cuBLAS", "cusolver": "cuSOLVER"}
"""CUDA libraries used by the engine, by their names in ``cupy.cuda``."""

_HEADER_PROBE = '#include <cuda_fp16.h>\nextern "C" __global__ void probe(float* x) { x[0] = 1.0f; }\n'


def import_cupy() -> Any:
    """Return the module ``cupy``.

    Raises
    ------
    DeviceError
        If it cannot be imported.
    """
    try:
        import cupy
    except ImportError as error:
        message = f"CuPy cannot be imported ({error}); install qsmengine[cuda12] or qsmengine[cuda13]"
        raise DeviceError(message) from None
    return cupy


def nvrtc_version() -> str:
    """Return the version of NVRTC, such as "12.9".

    Raises
    ------
    DeviceError
        If CuPy does not find it.
    """
    try:
        major, minor = import_cupy().cuda.nvrtc.getVersion()
    except (RuntimeError, OSError, ImportError) as error:
        raise DeviceError(f"CUDA's compiler NVRTC is missing ({_first_line(error)}); {_advice()}") from None
    return f"{major}.{minor}"


def missing_libraries() -> dict[str, str]:
    """Return the CUDA libraries that do not load, each with the reason."""
    missing = {}
    for module, name in LIBRARIES.items():
        try:
            _load(module)
        except (RuntimeError, OSError, ImportError) as error:
            missing[name] = _first_line(error)
    return missing


@cache
def toolkit_problem() -> str:
    """Return a missing component of CUDA and how to install it; "" if CuPy finds all.

    The check loads libraries but creates no CUDA context, so a process that only starts others may run it.
    """
    try:
        nvrtc_version()
    except DeviceError as error:
        return str(error)
    for name, reason in missing_libraries().items():
        return f"{name} is missing ({reason}); {_advice()}"
    return ""


@cache
def launch_problem(index: int) -> str:
    """Return why a kernel of CuPy does not compile and run on GPU `index`; "" if it does.

    The first call in a process creates the CUDA context. The kernel is compiled once per machine and then
    loaded from CuPy's cache on disk.
    """
    cupy = import_cupy()
    try:
        with cupy.cuda.Device(index):
            probe = cupy.empty(1, np.float32)
            probe.fill(1)
            probe.get()
    except cupy.cuda.compiler.CompileException as error:
        return f"NVRTC cannot compile CuPy's kernels ({_first_line(error)}); {_advice()}"
    except Exception as error:  # noqa: BLE001  (whatever CUDA reports, the GPU cannot be used)
        return f"a kernel does not run on it ({_first_line(error)})"
    return ""


def headers_problem(index: int) -> str:
    """Return why CUDA's headers are not found when a kernel is compiled for GPU `index`; "" if they are."""
    cupy = import_cupy()
    try:
        with cupy.cuda.Device(index):
            cupy.RawModule(code=_HEADER_PROBE, options=("--std=c++17",), backend="nvrtc").compile()
    except Exception as error:  # noqa: BLE001  (a report, whatever CUDA says)
        return _first_line(error)
    return ""


def _load(module: str) -> Any:
    """Return a library's module; attributes of ``cupy.cuda`` look into NVIDIA's wheels (from CuPy 14 on)."""
    cuda = import_cupy().cuda
    try:
        return getattr(cuda, module)
    except AttributeError:
        return import_module(f"cupy.cuda.{module}")


def _advice() -> str:
    """Return what to install for the CUDA that this CuPy is built for."""
    try:
        major = int(import_cupy().cuda.runtime.runtimeGetVersion()) // 1000
    except RuntimeError:
        major = 12
    return f'pip install "qsmengine[cuda{major}]" brings it (CuPy 14 or newer), as does a CUDA {major} toolkit'


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
