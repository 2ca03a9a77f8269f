"""Python interface to perfusion imaging: arrays in, arrays out, on NumPy or CuPy, without file access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from qsmengine.api.calls import device_for
from qsmengine.backend.device import Device, on_device
from qsmengine.data import Array
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.pipeline.configuration.parameters import parse_params
from qsmengine.stages.mask.unweighted import unweighted_mask
from qsmengine.stages.method import Method
from qsmengine.stages.object_size import sized_grid
from qsmengine.stages.perfusion.chain import Chosen, DscMethods, DscResult, run_chain
from qsmengine.stages.perfusion.maps import MapParams
from qsmengine.stages.registry import get_method


def reconstruct_dsc(
    series: Array | Sequence[Array],
    grid: Grid,
    *,
    echo_times: float | Sequence[float],
    repetition_time: float,
    mask: Array | None = None,
    aif: Array | str | None = None,
    aif_mask: Array | None = None,
    method: str = "osvd",
    leakage: str = "bsw",
    relative_to: Array | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    device: str | Device | None = None,
) -> DscResult:
    """Compute perfusion maps from a series acquired during the passage of a contrast agent.

    Parameters
    ----------
    series
        (x, y, z, frame), any unit, or one such array per echo.
    grid
        Geometry.
    echo_times
        [s], one per echo.
    repetition_time
        Time between frames [s].
    mask
        (x, y, z) brain mask; None: computed from the mean image, by BET.
    aif
        Arterial input function: a curve (frame,) dR2* [1/s], or a method of the stage ``aif``; None:
        ``automatic``, or ``mask`` if `aif_mask` is given.
    aif_mask
        (x, y, z) voxels of an artery.
    method
        Deconvolution, see ``qsmengine stage deconvolution --list``.
    leakage
        ``none``, or a method of the stage ``leakage``.
    relative_to
        (x, y, z) region, such as normal-appearing white matter, whose means the relative maps are divided by.
    params
        Parameters by stage: ``{"deconvolution": {"threshold": 0.05}, "aif": {"vof": True}}``.
    device
        As in :func:`qsmengine.reconstruct_qsm`.

    Returns
    -------
    DscResult
        ``result.cbv`` [mL/100 g], ``result.cbf`` [mL/100 g/min], ``result.mtt`` [s], ``result.aif``, ...

    Raises
    ------
    InputError
        For arrays that do not fit, and series from which no perfusion can be computed: fewer than 20 frames,
        no bolus, no baseline, saturation, no artery.
    UsageError
        For an unknown method or parameter, and both a curve and a mask of the AIF.
    """
    signals = tuple(series) if isinstance(series, list | tuple) else (series,)
    times = (echo_times,) if isinstance(echo_times, int | float) else tuple(echo_times)
    given = aif if not isinstance(aif, str) else None
    if given is not None and aif_mask is not None:
        raise UsageError("give a curve or a mask of the AIF, not both")
    settings = dict(params or {})
    unknown = settings.keys() - {"contrast", "aif", "leakage", "deconvolution"}
    if unknown:
        raise UsageError(f"params: unknown stage {', '.join(sorted(unknown))}")

    def choose(stage: str, name: str) -> Chosen:
        chosen = get_method(stage, name)
        return chosen, parse_params(chosen, settings.get(stage, {}))

    automatic = aif if isinstance(aif, str) else "automatic" if aif_mask is None else "mask"
    methods = DscMethods(
        contrast=choose("contrast", "single_echo" if len(signals) == 1 else "dual_echo"),
        aif=None if given is not None else choose("aif", automatic),
        leakage=None if leakage == "none" else choose("leakage", leakage),
        deconvolution=cast("tuple[Method, MapParams]", choose("deconvolution", method)),
    )
    chosen = device_for(device, signals[0])
    inside = _brain(signals[0], grid, chosen) if mask is None else mask
    return run_chain(
        signals, inside, times, repetition_time, sized_grid(grid, {"mask": inside}, device=chosen), methods,
        aif=given, aif_mask=aif_mask, region=relative_to, device=chosen,
    )  # fmt: skip


@on_device
def _brain(signal: Array, grid: Grid, device: Device) -> Array:
    """Return a brain mask (x, y, z) of the mean of a series (x, y, z, frame)."""
    if signal.ndim != 4:
        raise InputError(
            f"the series has shape {tuple(signal.shape)}, it needs (x, y, z, frame)", field="shape"
        )
    found = unweighted_mask(device.asarray(signal.mean(axis=3, dtype=np.float64)), grid, device)
    if found.mask is None:
        raise InputError(f"no brain mask can be computed ({found.reason}): give one", field="mask")
    return found.mask
