"""Run of one registered method on files, so that every stage can be used separately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, on_device, to_numpy
from qsmengine.data import check_echo_times
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.atomic import write_json
from qsmengine.io.dwi import open_dwi
from qsmengine.io.given_maps import check_rates, check_stated_unit, check_values
from qsmengine.io.inheritance import image_stem
from qsmengine.io.masks import inside_of
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.sidecars import read_sidecar, stated_unit
from qsmengine.modalities.plausible import check_decay
from qsmengine.pipeline.configuration.messages import near
from qsmengine.pipeline.configuration.parameters import parse_params
from qsmengine.pipeline.outputs.provenance import machine, software
from qsmengine.pipeline.outputs.staging import check_output, staged
from qsmengine.sessions.stage_checks import check_units_given
from qsmengine.stages.catalogue import INPUT_UNITS
from qsmengine.stages.method import Method
from qsmengine.stages.object_size import sized_grid
from qsmengine.stages.params import Params
from qsmengine.stages.registry import get_method
from qsmengine.units import ppm_per_hz

FIELDS = frozenset({"total_field", "local_field", "noise"})
"""Inputs that the engine needs in [ppm] and that files may store in [Hz]."""
GRADIENTS = ("b_values", "b_vectors")
VOLUME_TABLES = ("flip_angles", "repetition_times", "spoiled_times", "spin_echo_times")
"""Inputs with a number for each volume, separated by commas."""


@dataclass(frozen=True)
class StageRequest:
    """Method, files of its inputs and outputs (name -> file), and settings.

    Parameters
    ----------
    stage, method
        Names in the registry.
    inputs
        Input -> file; ``echo_times`` and `VOLUME_TABLES` take numbers instead. Several files of one input are
        stacked as echoes.
    outputs
        Output -> file.
    settings
        ``parameter=value`` strings.
    units
        Input -> "ppm" or "Hz", for fields whose sidecar does not state the unit.
    field_strength
        [T]; None: from the sidecars.
    force
        Replace earlier outputs.
    """

    stage: str
    method: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, Path]
    settings: Sequence[str] = ()
    units: Mapping[str, str] | None = None
    field_strength: float | None = None
    force: bool = False


@on_device
def run_stage(request: StageRequest, device: Device, notes: list[str] | None = None) -> list[Path]:
    """Run the method on the files, write the requested outputs with sidecars; return the files written.

    Notes on headers and masks are appended to `notes`.

    Raises
    ------
    UsageError
        For an unknown method, input, output or parameter; the message suggests the nearest name.
    InputError
        For files that cannot be read or do not share a grid, or a field of unknown unit.
    """
    method = get_method(request.stage, request.method)
    params = parse_params(method, request.settings)
    _check_parameters(params)
    files = [text for name, text in request.inputs.items() if name not in {"echo_times", *VOLUME_TABLES}]
    sources = [Path(part) for text in files for part in text.split(",")]
    _check_request(request, method, sources)
    notes = [] if notes is None else notes
    arrays, grid = _read_inputs(request, method, notes)
    for name in [name for name in arrays if name.endswith("mask")]:
        arrays[name] = inside_of(arrays[name], Path(request.inputs[name]), notes)
    if request.stage == "relaxometry" and len(times := arrays["echo_times"]) > 1:
        check_decay(arrays["magnitude"], arrays["mask"], range(len(times)), times)
    values = {name: _on_device(name, value, device) for name, value in arrays.items()}
    sized = sized_grid(grid, values, device=device)
    results = method(values, sized, params, device=device)
    shared = {
        "Sources": [source.name for source in sources],
        "EstimationAlgorithm": method.name,
        "EstimationReference": f"https://doi.org/{method.doi}",
        "Parameters": params.model_dump(mode="json", by_alias=True),
        "LengthScale": sized.length_scale or 1.0,
        "MagneticFieldStrength": grid.field_strength,
        "Software": software(),
        **machine(device),
    }
    with ExitStack() as stack:
        parents = {path.parent for path in request.outputs.values()}
        folders = {parent: stack.enter_context(staged(parent)) for parent in sorted(parents)}
        for name, path in request.outputs.items():
            array = to_numpy(results[name])
            if array.ndim < 3:
                raise UsageError(f"output {name} is a number, not an image: {array.tolist()}")
            write_image(folders[path.parent] / path.name, array, grid)
            metadata = {"Units": method.outputs[name], **shared}
            write_json(folders[path.parent] / f"{image_stem(path.name)}.json", metadata)
    return list(request.outputs.values())


def _check_request(request: StageRequest, method: Method, sources: Sequence[Path]) -> None:
    """Raise UsageError for unknown or missing inputs and outputs, and for outputs that may not be written."""
    _check_names("input", request.inputs, [n.rstrip("?") for n in method.inputs])
    _check_names("output", request.outputs, list(method.outputs))
    missing = [name for name in method.required_inputs if name not in request.inputs and name != "echo_times"]
    if missing:
        raise UsageError(f"{request.stage} {method.name} needs --input {' '.join(f'{n}=F' for n in missing)}")
    if not request.outputs:
        makes = ", ".join(method.outputs)
        raise UsageError(f"give --output NAME=F; {request.stage} {method.name} makes {makes}")
    for path in request.outputs.values():
        if not path.name.endswith((".nii", ".nii.gz")):
            raise UsageError(f"--output {path}: images are written as .nii or .nii.gz")
        check_output(path.parent, [Path(path.name)], sources, force=request.force)


def field_in_ppm(array: Any, path: Path, name: str, *, units: str | None, grid: Grid) -> Any:
    """Return a field in [ppm], from the given unit or the sidecar's ``Units``; raises InputError if unknown."""
    unit = stated_unit(path, units, name)
    if unit is None:
        raise InputError(
            f"not found for {name}; give --unit {name}=ppm or {name}=Hz", source=path, field="Units"
        )
    if unit == "ppm":
        return array
    if unit == "Hz":
        return array * np.float32(ppm_per_hz(grid.required_field_strength))
    raise InputError(f"{unit!r} is neither ppm nor Hz", source=path, field="Units")


def _check_parameters(params: Params) -> None:
    """Raise UsageError for parameters that the method itself ignores."""
    ignored = sorted(params.model_fields_set & params.session_only)
    if ignored:
        raise UsageError(
            f"--set {ignored[0]}: a single stage uses its inputs as they are; only sessions (`qsmengine run` "
            "or the command of the modality) have this parameter"
        )


def _check_names(kind: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise UsageError(f"unknown {kind} {near(name, known)}")


def _read_inputs(request: StageRequest, method: Method, notes: list[str]) -> tuple[dict[str, Any], Grid]:
    images = {
        n: [Path(p) for p in text.split(",")]
        for n, text in request.inputs.items()
        if n not in {"echo_times", *VOLUME_TABLES, *GRADIENTS}
    }
    grid: Grid | None = None
    arrays: dict[str, Any] = {}
    for name, paths in images.items():
        volumes = []
        for path in paths:
            array, own, header = read_image(path)
            notes += [f"{path}: {note}" for note in header.notes]
            grid = own if grid is None else grid
            check_same_grid(own, grid, path, next(iter(images.values()))[0])
            volumes.append(array)
        arrays[name] = volumes[0] if len(volumes) == 1 else np.stack(volumes, axis=-1)
    if grid is None:
        raise UsageError("at least one image is required: --input NAME=F")
    check_units_given(request.units or {}, sorted(FIELDS & set(images)))
    paths = [path for group in images.values() for path in group]
    grid = grid.replace(field_strength=request.field_strength or _sidecar_field_strength(paths))
    for name in FIELDS & set(arrays):
        unit = (request.units or {}).get(name)
        arrays[name] = field_in_ppm(arrays[name], images[name][0], name, units=unit, grid=grid)
    _check_images(images, arrays)
    if "echo_times" in method.required_inputs:
        arrays["echo_times"] = _echo_times(request.inputs.get("echo_times"), images)
    for name in {"phase", "magnitude", "unwrapped", "components", "spoiled", "spin_echoes"} & set(arrays):
        arrays[name] = arrays[name].reshape(*grid.shape, -1)
    tables = {name: request.inputs[name] for name in VOLUME_TABLES if name in request.inputs}
    arrays |= {name: _numbers(name, text) for name, text in tables.items()}
    if set(GRADIENTS) <= set(request.inputs):
        arrays |= _gradients(images["signal"][0], *(Path(request.inputs[name]) for name in GRADIENTS))
    return arrays, grid


def _check_images(images: Mapping[str, Sequence[Path]], arrays: Mapping[str, Any]) -> None:
    """Raise InputError for units and values that the inputs cannot have."""
    for name, paths in images.items():
        if name not in FIELDS:
            for path in paths:
                check_stated_unit(name, INPUT_UNITS[name], path)
        check_values(name, INPUT_UNITS[name], arrays[name], paths[0], arrays.get("mask"))
    check_rates(arrays, images.get("r2", [Path()])[0])


def _sidecar_field_strength(paths: Sequence[Path]) -> float | None:
    return next((t for t in (read_sidecar(path).field_strength for path in paths) if t is not None), None)


def _echo_times(text: str | None, images: Mapping[str, Sequence[Path]]) -> tuple[float, ...]:
    if text is not None:
        return check_echo_times(_numbers("echo_times", text))
    for paths in images.values():
        times = [read_sidecar(path).echo_time for path in paths]
        if all(time is not None for time in times):
            return check_echo_times(tuple(time for time in times if time is not None))
    raise UsageError("the sidecars of the inputs contain no echo times; add --input echo_times=0.004,0.008")


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        unit = "degrees" if name == "flip_angles" else "seconds"
        raise UsageError(f"--input {name}={text}: need numbers of {unit} separated by commas") from None


def _gradients(signal: Path, bval: Path, bvec: Path) -> dict[str, Any]:
    file = open_dwi(signal, bval, bvec)
    if len(file.volumes) < len(file.b_values):
        left_out = sorted(set(range(len(file.b_values))) - set(file.volumes.tolist()))
        raise InputError(
            f"volumes {[v + 1 for v in left_out]} have b > 0 and no direction; `qsmengine dti` excludes them",
            source=signal,
            field="bvec",
        )
    return {"b_values": file.b_values, "b_vectors": file.b_vectors}


def _on_device(name: str, value: Any, device: Device) -> Any:
    if not isinstance(value, np.ndarray) or name in GRADIENTS:
        return value
    if name.endswith("mask"):
        return device.asarray(value, bool)
    return device.asarray(value, np.int32 if name == "labels" else np.float32)
