"""Python interface to reconstruction: arrays in, arrays out, on NumPy or CuPy, without file access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qsmengine.api.calls import device_for, given, run_method
from qsmengine.backend.device import Device
from qsmengine.data import Array, DwiSeries, GreSeries
from qsmengine.data.checks import check_mask, check_phase
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.modalities.dwi.run import TensorMaps, run_dti
from qsmengine.modalities.dwi.volumes import fitted_volumes
from qsmengine.modalities.gre.run import QsmResult, run_qsm
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.stages.registry import get_method


def reconstruct_qsm(
    magnitude: Array,
    phase: Array,
    echo_times: Sequence[float],
    grid: Grid,
    *,
    mask: Array | None = None,
    labels: Array | None = None,
    r2: Array | None = None,
    config: Config | Mapping[str, Any] | None = None,
    device: str | Device | None = None,
    progress: ProgressCallback | None = None,
) -> QsmResult:
    """Reconstruct susceptibility from magnitude and wrapped phase.

    Parameters
    ----------
    magnitude, phase
        (x, y, z, echo); phase [rad].
    echo_times
        [s].
    grid
        Geometry with the field strength [T].
    mask
        (x, y, z) brain mask; computed when None.
    labels
        (x, y, z) label image for a reference region.
    r2
        (x, y, z) map of R2 [1/s] for the separation of chi.
    config
        Configuration, or sections that differ from the default preset:
        ``{"inversion": {"method": "tkd", "threshold": 0.2}, "swi": {"method": "homodyne"}}``.
    device
        "auto", "cpu", "cuda", "cuda:1"; None: the device of the arrays.
    progress
        Called with the state of each step.

    Returns
    -------
    QsmResult
        ``result.chi`` [ppm], ``result.local_field`` [ppm], ``result["r2star"]`` [1/s], ...

    Raises
    ------
    InputError
        For arrays that do not fit, phase that is not in radians, a missing field strength, an empty mask, and a
        mask with values between 0 and 1.
    UsageError
        For an invalid configuration.
    DeviceError
        If the device is absent or has too little memory.
    """
    series = GreSeries(magnitude, phase, tuple(np.ravel(echo_times)), grid)
    check_phase("phase", phase)
    mask = None if mask is None else check_mask("mask", mask, grid)
    return run_qsm(
        series, _config(config), device_for(device, phase), mask=mask, labels=labels, r2=r2, progress=progress
    )


def fit_tensor(
    signal: Array,
    b_values: Sequence[float] | Array,
    b_vectors: Array,
    grid: Grid,
    *,
    mask: Array | None = None,
    method: str = "ols",
    params: Mapping[str, Any] | None = None,
    device: str | Device | None = None,
) -> TensorMaps:
    """Fit a diffusion tensor.

    Parameters
    ----------
    signal
        (x, y, z, volume).
    b_values
        (volume,) [s/mm^2].
    b_vectors
        (volume, 3) in FSL's frame (x negated if the affine's determinant is positive).
    grid
        Geometry.
    mask
        (x, y, z); None: every voxel with signal, or a brain mask with the parameter ``mask="brain"``.
    method, params
        Fit and its parameters, see ``qsmengine stage diffusion --list``. All given volumes are fitted unless
        the parameter ``maximum_b`` is set.
    device
        As in :func:`reconstruct_qsm`.

    Returns
    -------
    TensorMaps
        ``result["fa"]`` [1], ``result["md"]`` [mm^2/s], ``result["v1"]`` (x, y, z, 3), ...

    Raises
    ------
    InputError
        For arrays that do not fit, b-values in another unit, a volume without signal, and a table that does not
        determine the tensor.
    """
    series = DwiSeries(
        signal, np.asarray(b_values, dtype=np.float64), np.asarray(b_vectors, dtype=np.float64), grid
    )
    empty = [v + 1 for v in range(signal.shape[3]) if not bool(signal[..., v].any())]
    if empty:
        raise InputError(f"volumes {empty} have no signal: leave them and their b-values out", field="signal")
    mask = None if mask is None else check_mask("mask", mask, grid)
    config = load_config(overrides={"diffusion": {"method": method, "mask": None, **(params or {})}})
    if params and params.get("maximum_b") is not None:
        series = series.select(fitted_volumes(config, series.b_values, series.b_vectors).volumes)
    return run_dti(series, config, device_for(device, signal), mask=mask)


def unwrap(
    phase: Array,
    magnitude: Array | None,
    mask: Array,
    echo_times: Sequence[float],
    grid: Grid,
    *,
    method: str = "romeo",
    params: Mapping[str, Any] | None = None,
    device: str | Device | None = None,
) -> Array:
    """Unwrap the phase of a gradient-echo series inside a mask.

    Parameters
    ----------
    phase
        (x, y, z, echo) [rad], wrapped.
    magnitude
        (x, y, z, echo), any unit; ``romeo`` needs it, ``laplacian`` ignores it (None is allowed).
    mask
        (x, y, z).
    echo_times
        (echo,) [s].
    grid
        Geometry.
    method, params
        Method and its parameters, see ``qsmengine stage unwrap --list``.
    device
        As in :func:`reconstruct_qsm`.

    Returns
    -------
    Array
        (x, y, z, echo) [rad], 0 outside `mask`.

    Raises
    ------
    UsageError
        If the method needs a magnitude and none is given.
    InputError
        For arrays or echo times of inconsistent shape.
    """
    inputs = {"phase": phase, "mask": mask, "echo_times": tuple(echo_times)}
    if "magnitude" in get_method("unwrap", method).inputs:
        inputs |= given({"magnitude": magnitude})
    return run_method("unwrap", method, inputs, grid, params, device_for(device, phase))["unwrapped"]


def remove_background(
    total_field: Array | None,
    mask: Array,
    grid: Grid,
    *,
    phase: Array | None = None,
    magnitude: Array | None = None,
    echo_times: Sequence[float] | None = None,
    weight: Array | None = None,
    method: str = "lbv",
    params: Mapping[str, Any] | None = None,
    device: str | Device | None = None,
) -> tuple[Array, Array]:
    """Remove the background field, caused by sources outside a mask.

    Parameters
    ----------
    total_field
        (x, y, z) [ppm]; None for ``phase_lbv``.
    mask
        (x, y, z).
    grid
        Geometry; ``phase_lbv`` needs its field strength.
    phase, magnitude, echo_times
        For ``phase_lbv``, instead of the field: wrapped phase (x, y, z, echo) [rad], magnitude
        (x, y, z, echo) in any unit, and echo times (echo,) [s].
    weight
        (x, y, z), any unit, ideally 1 / noise of the field; only ``pdf`` uses it.
    method, params
        Method and its parameters, see ``qsmengine stage background --list``.
    device
        As in :func:`reconstruct_qsm`.

    Returns
    -------
    local_field, mask
        (x, y, z) [ppm], and the mask where it is defined.

    Raises
    ------
    UsageError
        For a required input that is missing, or an input that the method does not use.
    InputError
        For arrays of inconsistent shape.
    """
    times = None if echo_times is None else tuple(echo_times)
    inputs = given({
        "total_field": total_field, "mask": mask, "weight": weight,
        "phase": phase, "magnitude": magnitude, "echo_times": times,
    })  # fmt: skip
    chosen = device_for(device, mask if total_field is None else total_field)
    results = run_method("background", method, inputs, grid, params, chosen)
    return results["local_field"], results["mask"]


def invert_dipole(
    local_field: Array,
    mask: Array,
    grid: Grid,
    *,
    weight: Array | None = None,
    noise: Array | None = None,
    method: str = "weak_harmonic",
    params: Mapping[str, Any] | None = None,
    device: str | Device | None = None,
) -> Array:
    """Return susceptibility (x, y, z) [ppm] from the local field (x, y, z) [ppm] inside `mask`.

    `weight` (x, y, z), any unit, is ideally 1 / noise of the field; `noise` (x, y, z) [ppm], the field's
    standard deviation, adapts the strength of total variation. Methods refuse inputs that they do not use.
    """
    inputs = given({"local_field": local_field, "mask": mask, "weight": weight, "noise": noise})
    return run_method("inversion", method, inputs, grid, params, device_for(device, local_field))["chi"]


def _config(config: Config | Mapping[str, Any] | None) -> Config:
    if isinstance(config, str):
        raise UsageError(f"config={config!r} is text: give sections, or load_config(preset={config!r})")
    return config if isinstance(config, Config) else load_config(overrides=config)
