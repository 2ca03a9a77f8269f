"""Provenance of results: software, machine, configuration, steps, inputs."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsmengine import version
from qsmengine.backend.device import Device
from qsmengine.backend.fft import fft_library
from qsmengine.backend.sources import sources_hash
from qsmengine.io.in_parallel import in_parallel
from qsmengine.pipeline.outputs.dataset import source_uri
from qsmengine.pipeline.outputs.scanner import scanner_facts

if TYPE_CHECKING:
    from qsmengine.pipeline.configuration.model import Config
    from qsmengine.pipeline.run.results import Record, RunResult

_PACKAGES = ("numpy", "scipy", "nibabel", "pydantic", "cupy-cuda12x", "cupy-cuda13x")


def software() -> dict[str, str]:
    """Return the versions of the engine, its kernels, Python and the installed numerical packages."""
    found = {"qsmengine": version.__version__, "kernels": sources_hash(), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = _version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _version(name: str) -> str:
    """Return the version of an installed package, without parsing its long metadata if one line gives it."""
    text = metadata.distribution(name).read_text("METADATA") or ""
    found = re.search(r"^Version: *(\S+)$", text, re.MULTILINE)
    return found[1] if found else metadata.version(name)


def machine(device: Device, *, timings: bool = True) -> dict[str, Any]:
    """Return the device and its FFT library; without `timings` only entries that the results depend on."""
    used: dict[str, Any] = {"Device": device.kind}
    if timings:
        used = {"Device": str(device), "Threads": device.threads}
        used |= {"DeviceNote": device.note} if device.note else {}
    return {**used, "FFT": fft_library(device)}


def describe_step(record: Record) -> dict[str, Any]:
    """Return the description of a step: stage, method, DOI, parameters and the solver's final status."""
    step = record.step
    entry: dict[str, Any] = {
        "Stage": step.method.stage,
        "Method": step.method.name,
        "DOI": step.method.doi,
        "Parameters": step.params.model_dump(mode="json", by_alias=True),
    }
    if record.solver is not None:
        status = record.solver
        entry["Solver"] = {
            "Iterations": status.iteration,
            "Residual": float(status.residual),
            "Tolerance": status.tolerance,
            "Stopped": status.reason,
        }
    return entry


def session_record(
    result: RunResult,
    config: Config,
    device: Device,
    sources: Sequence[Path],
    notes: Iterable[str],
    acquisition: Mapping[str, Any],
    *,
    timings: bool = True,
) -> dict[str, Any]:
    """Return the content of a session's provenance file: everything about a run except its maps.

    `acquisition` holds parameters that the images do not contain: echo times, b-values. Without `timings` the
    record is the same for every run of the same inputs, configuration and kind of device.
    """
    grid = result.grid
    return {
        "Software": software(),
        **machine(device, timings=timings),
        "Acquisition": {
            "MagneticFieldStrength": grid.field_strength,
            "Matrix": list(grid.shape),
            "VoxelSize": [round(float(edge), 5) for edge in grid.voxel_size],
            "B0Direction": [round(float(b), 7) for b in grid.b0_direction],
            **scanner_facts(sources),
            **acquisition,
        },
        "ConfigurationHash": config.digest,
        "Configuration": config.as_tree(),
        "LengthScale": result.facts.get("length_scale", 1.0),
        "Steps": [describe_step(r) | _seconds(r, timings) for r in result.records],
        "Inputs": in_parallel(describe_input, list(sources)),
        "Notes": list(dict.fromkeys((*notes, *result.notes))),
    }


def _seconds(record: Record, timings: bool) -> dict[str, float]:
    return {"Seconds": round(record.seconds, 3)} if timings else {}


def describe_input(path: Path) -> dict[str, str]:
    """Return a file's name, its SHA-256 and, if it lies in a raw dataset, its BIDS URI."""
    uri = source_uri(path)
    named = {"File": path.name} if uri == path.name else {"File": path.name, "URI": uri}
    return {**named, "SHA256": file_digest(path)}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
