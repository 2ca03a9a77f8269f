"""Python interface to maps derived from chi: arrays in, arrays out, on NumPy or CuPy, without file access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qsmengine.api.calls import device_for, given, run_method
from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.inversion.reference import ReferenceResult
from qsmengine.stages.separation.voxelwise import SeparationResult
from qsmengine.stages.swi.images import SwiResult
from qsmengine.stages.uncertainty.calibrated import Intervals


def reference_chi(
    chi: Array,
    mask: Array,
    grid: Grid,
    *,
    r2star: Array | None = None,
    labels: Array | None = None,
    method: str | None = None,
    params: Mapping[str, Any] | None = None,
    device: str | Device | None = None,
) -> ReferenceResult:
    """Reference susceptibility (x, y, z) [ppm] to the mean over a region inside `mask`.

    With `r2star` (x, y, z) [1/s] the region is the ventricular CSF (method ``csf``); otherwise it is `mask`, or
    the labels of `labels` (x, y, z) selected by `params` (method ``region_mean``).

    Returns
    -------
    ReferenceResult
        Referenced chi [ppm]; subtracted value [ppm]; standard deviation [ppm] and voxels of the region.

    Raises
    ------
    InputError
        If no CSF or no voxel of the labels is found.
    """
    inputs = {"chi": chi, "mask": mask, "r2star": r2star, "labels": labels}
    name = method or ("region_mean" if r2star is None else "csf")
    results: dict[str, Any] = run_method(
        "reference", name, given(inputs), grid, params, device_for(device, chi)
    )
    return ReferenceResult(**{field: results[field] for field in ReferenceResult._fields})


def estimate_uncertainty(
    total_field: Array,
    noise: Array,
    mask: Array,
    grid: Grid,
    *,
    background: str | None = None,
    inversion: str | None = None,
    method: str = "monte_carlo",
    params: Mapping[str, Any] | None = None,
    device: str | Device | None = None,
) -> Array:
    """Return the standard deviation of chi (x, y, z) [ppm], given the noise (x, y, z) [ppm] of the total field.

    It contains the noise alone; :func:`susceptibility_intervals` contains the errors that every scan has.

    The noise is propagated through the methods `background` and `inversion` with their default parameters.
    :func:`reconstruct_qsm` with ``config={"uncertainty": {"method": "monte_carlo"}}`` uses those of the run.
    """
    inputs = {"total_field": total_field, "noise": noise, "mask": mask}
    settings = given({"background": background, "inversion": inversion}) | dict(params or {})
    return run_method("uncertainty", method, inputs, grid, settings, device_for(device, total_field))["chi_sd"]


def susceptibility_intervals(
    chi: Array,
    total_field: Array,
    noise: Array,
    mask: Array,
    grid: Grid,
    *,
    magnitude: Array | None = None,
    params: Mapping[str, Any] | None = None,
    device: str | Device | None = None,
) -> Intervals:
    """Return half-widths of intervals around `chi` (x, y, z) [ppm] that contain the truth in 68 % and 95 %.

    They are calibrated for the presets' inversions of brains (docs/uncertainty.md). ``params`` may name the
    `calibration`; by default it is that of preset accurate.

    Parameters
    ----------
    chi, total_field, noise
        (x, y, z) [ppm]: susceptibility, and the field it was computed from with its standard deviation.
    mask
        (x, y, z), nonzero where chi is defined.
    grid
        Geometry with B0 direction.
    magnitude
        (x, y, z, echo), any unit; separates CSF from tissue, given two echoes or more.
    params, device
        Parameters, and where to compute; None: where `chi` lies.

    Raises
    ------
    UsageError
        For a calibration that does not exist.
    InputError
        For noise that is unknown everywhere in the mask.
    """
    inputs = {"chi": chi, "total_field": total_field, "noise": noise, "mask": mask, "magnitude": magnitude}
    results: dict[str, Any] = run_method(
        "uncertainty", "calibrated", given(inputs), grid, params, device_for(device, chi)
    )
    return Intervals(**results)


def susceptibility_weighted(
    magnitude: Array,
    mask: Array,
    echo_times: Sequence[float],
    grid: Grid,
    *,
    phase: Array | None = None,
    local_field: Array | None = None,
    method: str | None = None,
    params: Mapping[str, Any] | None = None,
    device: str | Device | None = None,
) -> SwiResult:
    """Return the susceptibility-weighted image and its minimum-intensity projection (x, y, z).

    `magnitude` (x, y, z, echo); pass wrapped `phase` (x, y, z, echo) [rad] for the method ``homodyne``, or
    `local_field` (x, y, z) [ppm] for ``local_field``, which contains no wraps.
    """
    inputs = {"magnitude": magnitude, "mask": mask, "echo_times": tuple(echo_times)}
    inputs |= given({"phase": phase, "local_field": local_field})
    name = method or ("homodyne" if local_field is None else "local_field")
    return SwiResult(**run_method("swi", name, inputs, grid, params, device_for(device, magnitude)))


def separate_chi(
    chi: Array,
    r2star: Array,
    mask: Array,
    grid: Grid,
    *,
    r2: Array | None = None,
    method: str | None = None,
    params: Mapping[str, Any] | None = None,
    device: str | Device | None = None,
) -> SeparationResult:
    """Separate `chi` (x, y, z) [ppm] into para- and diamagnetic parts [ppm], using R2* (x, y, z) [1/s].

    With `r2` (x, y, z) [1/s] the method is ``r2prime``, otherwise ``r2star``, which assumes the R2 of tissue.
    """
    inputs = given({"chi": chi, "r2star": r2star, "mask": mask, "r2": r2})
    name = method or ("r2star" if r2 is None else "r2prime")
    results: dict[str, Any] = run_method("chi-separation", name, inputs, grid, params, device_for(device, chi))
    return SeparationResult(**results)
