"""Denoising of files: all inputs are filtered with a common set of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.api.denoising import denoise
from qsmengine.backend.device import Device, on_device, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.atomic import write_together
from qsmengine.io.bids import BidsName
from qsmengine.io.inheritance import image_stem
from qsmengine.io.masks import inside_of
from qsmengine.io.nifti import read_image
from qsmengine.io.sidecars import read_sidecar
from qsmengine.pipeline.configuration.parameters import parse_params
from qsmengine.pipeline.outputs.maps import write_map
from qsmengine.pipeline.outputs.provenance import machine, software
from qsmengine.pipeline.outputs.staging import check_output, staged
from qsmengine.records import record
from qsmengine.stages.registry import get_method

_ESTIMATED = ("auto", "local", "repeats")
_LABELS = ("dseg", "mask")
_KEPT = ("EchoTime", "MagneticFieldStrength", "Units")


@record
class DenoiseRequest:
    """Files and settings.

    Parameters
    ----------
    images
        Real images on one grid, 3-D or 4-D; each volume is a component.
    target
        Output folder.
    sigma
        Noise standard deviation in the images' unit: a number, a file (map), "auto", "local" (an estimated
        map), or "repeats" (from differences of the volumes, which are repetitions of one image).
    mask
        Voxels to filter, 0 elsewhere; None: the whole image.
    method, params
        Method of stage ``denoise`` on components, and its parameters.
    force
        Replace earlier outputs.
    """

    images: Sequence[Path]
    target: Path
    sigma: str = "auto"
    mask: Path | None = None
    method: str = "mnlm"
    params: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False


@on_device
def run_denoising(request: DenoiseRequest, device: Device, notes: list[str] | None = None) -> list[Path]:
    """Denoise the images jointly; write ``NAME_desc-denoised.nii.gz`` and a sidecar for each, or nothing.

    Notes on the mask are appended to `notes`.

    Raises
    ------
    UsageError
        For two images with the same name, outputs that exist or are inputs, or an invalid parameter.
    InputError
        For files that cannot be read or do not share a grid, phase, labels, noise that is not positive.
    """
    number = _number(request.sigma)
    maps = [] if number is not None or request.sigma in _ESTIMATED else [Path(request.sigma)]
    masks = [] if request.mask is None else [request.mask]
    sources = [*request.images, *maps, *masks]
    names = [_output_name(path) for path in request.images]
    if len(set(names)) < len(names):
        raise UsageError("two images have the same name, so their outputs would overwrite each other")
    sidecars = [Path(f"{image_stem(name)}.json") for name in names]
    check_output(request.target, [*map(Path, names), *sidecars], sources, force=request.force)
    params = parse_params(get_method("denoise", request.method), request.params)
    for path in request.images:
        _check_kind(path)
    arrays, grid = _read(sources)
    count = len(request.images)
    volumes = [1 if a.ndim == 3 else a.shape[3] for a in arrays[:count]]
    components = np.concatenate([a.reshape(*grid.shape, -1) for a in arrays[:count]], axis=3)
    sigma: Any = number or (arrays[count] if maps else request.sigma)
    mask = None if request.mask is None else inside_of(arrays[-1], request.mask, [] if notes is None else notes)
    settings = request.params
    filtered = to_numpy(
        denoise(components, grid, mask=mask, sigma=sigma, method=request.method, params=settings, device=device)
    )
    shared = {
        "Description": "filtered by joint non-local means",
        "Sources": [path.name for path in sources],
        "NoiseStandardDeviation": request.sigma if number is None else number,
        "Parameters": params.model_dump(mode="json", by_alias=True, exclude={"sigma"}),
        "Software": software(),
        **machine(device),
    }
    first, jobs = 0, []
    with staged(request.target) as folder:
        for path, name, size in zip(request.images, names, volumes, strict=True):
            part = filtered[..., first : first + size]
            first += size
            own = read_sidecar(path).values
            metadata = {**{k: own[k] for k in _KEPT if k in own}, **shared}
            jobs.append(partial(write_map, folder / name, part[..., 0] if size == 1 else part, grid, metadata))
        write_together(jobs)
    return [request.target / name for name in names]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not 0 < value < float("inf"):
        raise UsageError(f"--sigma {text}: noise must be positive")
    return value


def _check_kind(path: Path) -> None:
    """Raise InputError for an image whose values cannot be averaged: labels, and phase, which wraps."""
    try:
        name = BidsName.parse(path)
    except InputError:
        name = None
    kinds = read_sidecar(path).values.get("ImageType", [])
    if (name is not None and name.entities.get("part") == "phase") or {"P", "PHASE"} & set(map(str, kinds)):
        raise InputError(
            "a mean of wrapped phases is wrong next to a wrap; `qsmengine stage denoise --method complex-mnlm` "
            "filters magnitude and phase together",
            source=path,
        )
    if name is not None and name.suffix in _LABELS:
        raise InputError("a mean of labels is no label; give images", source=path)


def _output_name(path: Path) -> str:
    """Return ``NAME_desc-denoised.nii.gz``; in a BIDS name ``desc`` precedes the suffix."""
    try:
        name = BidsName.parse(path)
    except InputError:
        name = None
    if name is not None and "sub" in name.entities:
        return name.derivative(name.suffix, drop=(), extension=".nii.gz", desc="denoised").filename
    return f"{image_stem(path.name)}_desc-denoised.nii.gz"


def _read(paths: Sequence[Path]) -> tuple[list[Array], Grid]:
    arrays: list[Array] = []
    grid: Grid | None = None
    for path in paths:
        array, own, _ = read_image(path)
        grid = own if grid is None else grid
        check_same_grid(own, grid, path, paths[0])
        arrays.append(array)
    if grid is None:
        raise UsageError("at least one image is required")
    return arrays, grid
