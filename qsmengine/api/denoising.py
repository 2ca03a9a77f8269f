"""Denoising of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from qsmengine.api.calls import device_for, run_method
from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.registry import get_method


def denoise(
    components: Array,
    grid: Grid,
    *,
    mask: Array | None = None,
    sigma: float | Sequence[float] | Array | Literal["auto", "local", "repeats"] = "auto",
    method: str = "mnlm",
    params: Mapping[str, Any] | None = None,
    device: str | Device | None = None,
) -> Array:
    """Denoise several images of one object with a common set of weights.

    Parameters
    ----------
    components
        (x, y, z) or (x, y, z, component), real: magnitudes, or real and imaginary parts.
    grid
        Geometry.
    mask
        (x, y, z) voxels to filter, 0 elsewhere; None: the whole image.
    sigma
        Noise standard deviation in the components' unit: one number, one number per component, or a map
        (x, y, z) or (x, y, z, component). "auto" estimates one number per component (see
        :mod:`qsmengine.stages.denoise.noise`) and "local" a map per component, for spatially varying noise.
        "repeats" estimates it from differences between components, which must be repetitions of one image
        (a map with the parameter noise = "local").
    method, params
        Method and its parameters, see ``qsmengine stage denoise --list``.
    device
        As in :func:`qsmengine.reconstruct_qsm`.

    Returns
    -------
    Array
        Of the shape of `components`, float32.

    Raises
    ------
    InputError
        For arrays of inconsistent shape, and noise that is not positive or cannot be estimated.
    """
    chosen = device_for(device, components)
    images = components if components.ndim == 4 else components[..., np.newaxis]
    inputs: dict[str, Any] = {"components": images}
    inputs["mask"] = np.ones(grid.shape, bool) if mask is None else mask
    settings = dict(params or {})
    if isinstance(sigma, str) and "sigma" in get_method("denoise", method).params.model_fields:
        local = "local" in {sigma, settings.get("noise")}
        sigma = _estimated_noise(images, mask, chosen, repeats=sigma == "repeats", local=local)
    if isinstance(sigma, str):
        pass  # estimated by the method
    elif np.ndim(sigma) >= 3:
        inputs["sigma"] = sigma
    else:
        settings["sigma"] = tuple(float(value) for value in np.atleast_1d(to_numpy(np.asarray(sigma))))
        settings["sigma"] *= images.shape[3] if len(settings["sigma"]) == 1 else 1
    filtered = run_method("denoise", method, inputs, grid, settings, chosen)["components"]
    return filtered.reshape(components.shape)


def _estimated_noise(
    images: Array, mask: Array | None, device: Device, *, repeats: bool, local: bool
) -> float | tuple[float, ...] | Array:
    """Broadcast the noise, one number, one per image or a map, to all `images`."""
    from qsmengine.stages.denoise.noise import estimate_sigma, estimate_sigma_map, repeated_noise

    if repeats:
        return repeated_noise(images, mask, device=device, local=local)
    return (estimate_sigma_map if local else estimate_sigma)(images, mask, device=device)
