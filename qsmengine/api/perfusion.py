"""Python interface to perfusion imaging: arrays in, arrays out, on NumPy or CuPy, without file access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from qsmengine.api.calls import device_for
from qsmengine.backend.device import Device
from qsmengine.data import Array, DscSeries
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.modalities.dsc.run import PerfusionMaps, brain_mask, run_dsc
from qsmengine.modalities.dsc.stages import SECTIONS
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.configuration.model import Config
from qsmengine.stages.object_size import sized_grid
from qsmengine.stages.perfusion.chain import DscResult
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
    method: str = "common_shape",
    leakage: str = "bsw",
    relative_to: Array | None = None,
    territories: Array | None = None,
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
        (x, y, z) brain mask; None: computed as by ``qsmengine dsc``, from frames before the bolus.
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
    territories
        (x, y, z) labels of regions, each deconvolved by an artery in it.
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
    curve = None if aif is None or isinstance(aif, str) else aif
    if curve is not None and aif_mask is not None:
        raise UsageError("give a curve or a mask of the AIF, not both")
    methods = {
        "contrast": "single_echo" if len(signals) == 1 else "dual_echo",
        "aif": aif if isinstance(aif, str) else "automatic" if aif_mask is None else "mask",
        "leakage": None if leakage == "none" else leakage,
        "deconvolution": method,
    }
    config = _config(methods, params or {})
    if any(signal.ndim != 4 for signal in signals):
        shapes = ", ".join(str(tuple(signal.shape)) for signal in signals)
        raise InputError(f"the series has shape {shapes}, it needs (x, y, z, frame)", field="shape")
    where = device_for(device, signals[0])
    given = DscSeries(signals, times, repetition_time, grid)
    inside = brain_mask(given, where)[0] if mask is None else mask
    sized = replace(given, grid=sized_grid(grid, {"mask": inside}, device=where))
    found = run_dsc(
        sized, config, where, mask=inside, aif=curve, aif_mask=aif_mask, region=relative_to,
        territories=territories,
    )  # fmt: skip
    return _result(found)


def _config(methods: Mapping[str, str | None], params: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return the configuration of the methods by stage, None for a stage that is left out."""
    unknown = params.keys() - methods.keys()
    if unknown:
        raise UsageError(f"params: unknown stage {', '.join(sorted(unknown))}")
    chosen = {
        stage: None if name is None else {"method": get_method(stage, name).name, **params.get(stage, {})}
        for stage, name in methods.items()
    }
    return load_config(overrides=chosen, sections=SECTIONS)


def _result(found: PerfusionMaps) -> DscResult:
    """Return the maps under their names, without those that only later steps use."""
    step = found.records[-1].step
    own = {name: found[name] for name in step.method.outputs if name in found.maps}
    plain = {name: own.pop(name) for name in ("cbv", "cbf", "mtt", "tmax", "ttp")}
    quality, delay = own.pop("residual"), own.pop("delay", None)
    ending = "_sd"
    return DscResult(
        **plain,
        delay=delay,
        k2=found.maps.get("k2"),
        quality=quality,
        errors={name.removesuffix(ending): own[name] for name in own if name.endswith(ending)},
        relative={
            name: found[f"relative_{name}"] for name in ("cbv", "cbf") if f"relative_{name}" in found.maps
        },
        aif=found.artery,
        density=cast("MapParams", step.params).density,
        dr2star=found["dr2star"],
        arrival=found.facts["arrival"],
        steady=found.facts["steady"],
        notes=found.notes,
        extra={name: own[name] for name in own if not name.endswith(ending)},
    )
