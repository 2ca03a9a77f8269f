"""Submission interface of QSM-CI: one stage or span on a folder of NIfTI files and params.json.

Fields and susceptibility are in [ppm], phase in [rad], on the mask's grid. Voxel size and B0 direction come
from params.json, not from the images' headers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, on_device, to_numpy
from qsmengine.data import check_echo_times, check_not_empty
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.io.given_maps import check_values
from qsmengine.io.masks import read_mask
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.sidecars import read_json
from qsmengine.modalities.gre.stages import plan_sections
from qsmengine.pipeline.configuration.config import DEFAULT_PRESET, known_keys, load_config
from qsmengine.pipeline.configuration.messages import near
from qsmengine.pipeline.configuration.model import Config, section_of
from qsmengine.pipeline.outputs.staging import check_output, staged
from qsmengine.pipeline.run.execute import run_plan
from qsmengine.pipeline.run.plan import check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult
from qsmengine.stages.catalogue import INPUT_UNITS
from qsmengine.stages.object_size import sized_grid
from qsmengine.stages.registry import methods_of

MAPPING = ("phase_offset", "unwrap", "field")
PARALLEL = 0.996
"""Cosine of the angle, 5 degrees, by which two directions of B0 may differ without a note."""


@dataclass(frozen=True)
class Span:
    """Stage or span of the contract: its sections, input and output images, and meaning of --method.

    `methods` are used where neither methods nor a configuration are named.
    """

    sections: tuple[str, ...]
    images: tuple[str, ...]
    output: str
    named: tuple[str, ...]
    methods: tuple[str, ...] = ()


SPANS = {
    "field-mapping": Span(MAPPING, ("phase", "magnitude"), "totalfield", ("unwrap",)),
    "bfr": Span(("background",), ("totalfield",), "localfield", ("background",)),
    "dipole": Span(("inversion",), ("localfield",), "chimap", ("inversion",), ("weighted_tv",)),
    "unwrap+bfr": Span(
        (*MAPPING, "reliability", "background"), ("phase", "magnitude"), "localfield", ("unwrap", "background")
    ),
    "bfr+dipole": Span(("background", "inversion"), ("totalfield",), "chimap", ("background", "inversion")),
    "end-to-end": Span(
        (*MAPPING, "reliability", "background", "inversion"),
        ("phase", "magnitude"),
        "chimap",
        ("unwrap", "background", "inversion"),
    ),
}
_NAMES = {"totalfield": "total_field", "localfield": "local_field", "chimap": "chi"}
"""File name in the contract -> array name in the run."""


@dataclass(frozen=True)
class CiRequest:
    """Stage or span to run on folders; `methods` are those of the parts of the span, in order."""

    stage: str
    inputs: Path
    outputs: Path
    methods: tuple[str, ...] = ()
    config: Path | None = None
    preset: str = DEFAULT_PRESET
    settings: tuple[str, ...] = ()
    force: bool = False


@on_device
def run_qsm_ci(
    request: CiRequest, device: Device, *, progress: ProgressCallback | None = None
) -> tuple[Path, tuple[str, ...]]:
    """Run a stage or span of the contract; return the output file and the notes.

    Raises
    ------
    UsageError
        For an unknown stage, method or override.
    InputError
        For a missing file, a shape other than the mask's, or a missing entry of params.json; names the file.
    """
    if request.stage not in SPANS:
        raise UsageError(f"unknown QSM-CI stage {near(request.stage, SPANS)}")
    span = SPANS[request.stage]
    target = Path(f"{span.output}.nii.gz")
    folder = request.inputs
    check_output(request.outputs, [target], [p for p in folder.glob("*") if p.is_file()], force=request.force)
    config = _config(request, span)
    mask, mask_grid, notes = read_mask(folder / "mask.nii.gz")
    grid, echo_times = read_params(folder / "params.json", mask_grid, needs_echoes="field" in span.sections)
    notes = [*notes, *_differences(grid, mask_grid, folder)]
    state = _state(span, folder, mask, echo_times, device)
    if config.input.object_size is not None:
        grid = grid.replace(length_scale=config.input.object_size)
    grid = sized_grid(grid, state, device=device)
    plan = plan_sections(config, span.sections, state, grid, len(echo_times))
    check_memory(plan, device)
    result = run_plan(plan, state, grid, device, progress, kind=RunResult)
    array = to_numpy(result[_NAMES[span.output]])
    with staged(request.outputs) as out:
        write_image(out / target, np.where(np.isfinite(array), array, np.float32(0)), mask_grid)
    return request.outputs / target, (*notes, *result.notes)


def _differences(grid: Grid, mask_grid: Grid, folder: Path) -> list[str]:
    """Return notes on params.json, which is used, where it differs from the header of the mask."""
    found = []
    if not np.allclose(grid.voxel_size, mask_grid.voxel_size, rtol=0.01):
        found.append(("voxel_size", grid.voxel_size, mask_grid.voxel_size))
    if abs(float(np.dot(grid.b0_direction, mask_grid.b0_direction))) < PARALLEL:
        found.append(("B0_dir", grid.b0_direction, mask_grid.b0_direction))
    return [
        f"{folder / 'params.json'}: {name}: {_listed(used)} is used, though mask.nii.gz has {_listed(own)}"
        for name, used, own in found
    ]


def _listed(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values)})"


def read_params(path: Path, mask_grid: Grid, *, needs_echoes: bool) -> tuple[Grid, tuple[float, ...]]:
    """Return the grid and the echo times [s] of params.json; raises InputError naming the entry."""
    values = read_json(path)

    def numbers(key: str, count: int | None) -> tuple[float, ...]:
        given = values.get(key)
        if given is None:
            raise InputError("missing", source=path, field=key)
        items: list[Any] = given if isinstance(given, list) else [given]
        if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in items):
            raise InputError(f"{given!r} is not numeric", source=path, field=key)
        if count is not None and len(items) != count:
            raise InputError(f"{given!r}: need {count} numbers", source=path, field=key)
        try:
            return tuple(float(v) for v in items)
        except OverflowError:
            raise InputError("larger than any floating-point number", source=path, field=key) from None

    sx, sy, sz = numbers("voxel_size", 3)
    bx, by, bz = numbers("B0_dir", 3)
    (strength,) = numbers("B0", 1)
    try:
        grid = Grid.from_voxel_size(
            mask_grid.shape, (sx, sy, sz), field_strength=strength, b0_direction=(bx, by, bz)
        )
        echo_times = check_echo_times(numbers("TE", None)) if needs_echoes else ()
    except InputError as error:
        raise error if error.source else error.at(path) from None
    return grid, echo_times


def _config(request: CiRequest, span: Span) -> Config:
    settings = list(request.settings)
    sections = _named_sections(request, span)
    methods = request.methods
    if not methods and request.config is None and request.preset == DEFAULT_PRESET:
        methods = span.methods
    if len(methods) > len(sections):
        raise UsageError(f"{request.stage} takes at most {len(sections)} methods: {' + '.join(sections)}")
    if methods and len(methods) < len(sections):
        raise UsageError(f"--method of {request.stage} needs methods for {' + '.join(sections)}, joined by +")
    named = {section: {"method": m} for section, m in zip(sections, methods, strict=False)}
    path = request.inputs / "config.json"
    overrides = nested(flat_parameters(read_json(path), named)) if path.is_file() else {}
    if methods:
        overrides = {**named, **{k: {**named.get(k, {}), **v} for k, v in overrides.items()}}
    return load_config(request.config, preset=request.preset, overrides=overrides, settings=settings)


def _named_sections(request: CiRequest, span: Span) -> tuple[str, ...]:
    """Return the sections of --method: those of the span, or a single step for background and inversion."""
    single = bool(request.methods) and request.methods[-1] in methods_of("single-step")
    if single and span.named[-2:] == ("background", "inversion"):
        return (*span.named[:-2], "single_step")
    return span.named


def flat_parameters(values: Mapping[str, Any], named: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Expand keys such as ``threshold`` to ``inversion.threshold`` if only one of the methods has it.

    Raises
    ------
    UsageError
        For a parameter that several methods have.
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        owners = [
            section
            for section, entry in named.items()
            if key in known_keys(section, entry["method"]) and key != "method"
        ]
        if len(owners) > 1:
            raise UsageError(f"config.json: {key} is ambiguous: {' or '.join(f'{s}.{key}' for s in owners)}")
        found[f"{owners[0]}.{key}" if owners else key] = value
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nest overrides by section: ``{"inversion.lambda": 1}`` becomes ``{"inversion": {"lambda": 1}}``.

    Raises
    ------
    UsageError
        For a section that has both parameters and a single value.
    """
    tree: dict[str, Any] = {}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        section = section_of(section)
        if section in tree and not (isinstance(tree[section], dict) and (dot or isinstance(value, dict))):
            raise UsageError(f"config.json: {section} has both parameters and a single value")
        if dot:
            tree.setdefault(section, {})[name] = value
        elif isinstance(value, dict):
            tree.setdefault(section, {}).update(value)
        else:
            tree[section] = value
    return tree


def _state(
    span: Span, folder: Path, mask: Any, echo_times: tuple[float, ...], device: Device
) -> dict[str, Any]:
    inside = mask.copy()
    state: dict[str, Any] = {"echo_times": echo_times}
    for name in span.images:
        path = folder / f"{name}.nii.gz"
        array, grid, _ = read_image(path)
        if grid.shape != mask.shape:
            raise InputError(f"has shape {grid.shape}, the mask has {mask.shape}", source=path, field="dim")
        argument = _NAMES.get(name, name)
        check_values(argument, INPUT_UNITS[argument], array, path, mask)
        if name in {"phase", "magnitude"}:
            array = array.reshape((*grid.shape, -1), order="F")
            if array.shape[3] != len(echo_times):
                raise InputError(
                    f"has {array.shape[3]} echoes, params.json has {len(echo_times)}", source=path, field="TE"
                )
        if name == "localfield":
            inside &= array != 0
        state[_NAMES.get(name, name)] = device.asarray(array)
    check_not_empty(inside, folder / "mask.nii.gz")
    state["local_mask" if span.images == ("localfield",) else "brain_mask"] = device.asarray(inside, bool)
    return state
