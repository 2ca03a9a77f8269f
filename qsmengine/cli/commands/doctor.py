"""``qsmengine doctor``: check the installation and the machine."""

from __future__ import annotations

import json
import platform
from typing import Annotated, Any

from qsmengine import version
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options.declared import Option

_OPTIONAL = {
    "matplotlib": "figures (extra report)",
    "pandas": "tables (extra stats)",
    "statsmodels": "group models (extra stats)",
    "pydicom": "DICOM import (extra dicom)",
    "highdicom": "DICOM export (extra dicom)",
    "cupy": "GPU (extra cuda12 or cuda13)",
    "ismrmrd": "scanner server (extra scanner)",
}


def doctor(
    *,
    as_json: Annotated[bool, Option("--json", help="print JSON")] = False,
    compile_kernels: Annotated[
        bool,
        Option(
            "--compile",
            help="compile every kernel for the first GPU, including CuPy's, and keep them in CuPy's cache",
        ),
    ] = False,
) -> None:
    """Check what is usable on this machine: CPU kernels, threads, FFT, GPUs, CUDA and optional packages."""
    if compile_kernels:
        _compile()
        return
    facts = examine()
    reporter = Reporter()
    if as_json:
        reporter.say(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            reporter.say(f"{name}:")
            for key, text in value.items():
                reporter.say(f"  {key:<12} {text}")
        else:
            reporter.say(f"{name:<14} {value}")


def _compile() -> None:
    """Fill CuPy's cache with the engine's kernels and, by small runs, CuPy's; DeviceError without a GPU."""
    from qsmengine.api.warm_up import warm_up
    from qsmengine.backend.cuda import compile_all
    from qsmengine.backend.device import resolve_device

    device, reporter = resolve_device("cuda:0"), Reporter()
    reporter.say(f"{compile_all(device)} kernels compiled for {device}")
    runs = warm_up(device, lambda name: reporter.step(f"small run: {name}"))
    reporter.say(f"CuPy's kernels compiled by {len(runs)} small runs: {', '.join(runs)}")


def examine() -> dict[str, Any]:
    """Return facts about the installation and the machine."""
    from qsmengine.backend.device import cpu
    from qsmengine.backend.fft import fft_library
    from qsmengine.backend.memory import available_memory
    from qsmengine.pipeline.run.plan import format_bytes

    host = cpu()
    memory = available_memory(host)
    return {
        "qsmengine": version.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": host.threads,
        "memory": "unknown" if memory is None else f"{format_bytes(memory)} available",
        "CPU kernels": _kernels(),
        "FFT": fft_library(host),
        "GPU": _gpus(),
        "CUDA": _cuda(),
        "optional parts": {name: _package(name, use) for name, use in _OPTIONAL.items()},
    }


def version_line() -> str:
    """Return the version, the hash of the kernels and the CUDA state in one line."""
    from qsmengine.backend.device import cuda_devices
    from qsmengine.backend.sources import sources_hash
    from qsmengine.errors import DeviceError

    try:
        kernels = sources_hash()
    except DeviceError as error:
        kernels = str(error)
    count, reason = cuda_devices()
    cuda = f"{count} GPU{'s' if count > 1 else ''}" if count else f"no GPU ({reason})"
    return f"qsmengine {version.__version__}, kernels {kernels}, CUDA: {cuda}"


def _kernels() -> str:
    from qsmengine.backend.cpu import load_library
    from qsmengine.backend.sources import sources_hash
    from qsmengine.errors import DeviceError

    try:
        _, variant = load_library()
    except DeviceError as error:
        return f"not usable: {error}"
    return f"variant {variant}, sources {sources_hash()}"


def _gpus() -> str | dict[str, str]:
    from qsmengine.backend.device import cuda_devices, resolve_device
    from qsmengine.backend.memory import available_memory
    from qsmengine.errors import DeviceError
    from qsmengine.pipeline.run.plan import format_bytes

    count, reason = cuda_devices()
    if count == 0:
        return f"none usable: {reason}"
    found = {}
    for index in range(count):
        name = f"cuda:{index}"
        try:
            found[name] = f"{format_bytes(available_memory(resolve_device(name)) or 0)} free"
        except DeviceError as error:
            found[name] = str(error)
    return found


def _cuda() -> str | dict[str, str]:
    """Return versions and state of the CUDA components that CuPy needs; a test kernel runs on the first GPU."""
    from qsmengine.backend import toolkit
    from qsmengine.errors import DeviceError

    try:
        cupy = toolkit.import_cupy()
    except DeviceError as error:
        return f"not used: {error}"
    facts = {"CuPy": str(cupy.__version__), "runtime": _version(cupy.cuda.runtime.runtimeGetVersion())}
    try:
        facts["NVRTC"] = toolkit.nvrtc_version()
    except DeviceError as error:
        facts["NVRTC"] = str(error)
    missing = toolkit.missing_libraries()
    for name in toolkit.LIBRARIES.values():
        facts[name] = f"missing: {missing[name]}" if name in missing else "found"
    try:
        facts["driver"] = f"for CUDA {_version(cupy.cuda.runtime.driverGetVersion())}"
        found = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        facts["driver"], found = str(error), 0
    if found:
        problem = toolkit.headers_problem(0)
        facts["headers"] = f"missing: {problem}" if problem else "found"
        facts["compile"] = toolkit.launch_problem(0) or "a kernel compiles and runs"
    return facts


def _version(number: int) -> str:
    """Format a CUDA version number, which is 1000 major + 10 minor."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _package(name: str, use: str) -> str:
    from importlib import import_module

    try:
        module = import_module(name)
    except ImportError:
        return f"missing: {use}"
    return str(getattr(module, "__version__", "present"))
