"""Python interface to relaxometry: arrays in, arrays out, on NumPy or CuPy, without file access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qsmengine.api.calls import device_for
from qsmengine.backend.device import Device
from qsmengine.data import Array, BalancedSeries, VfaSeries
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.modalities.vfa.run import brain_mask, run_vfa
from qsmengine.modalities.vfa.stages import SECTIONS
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.object_size import sized_grid
from qsmengine.stages.registry import get_method


@dataclass(frozen=True)
class VfaResult:
    """Maps of spoiled gradient echoes at several flip angles.

    Parameters
    ----------
    r1, t1
        (x, y, z) [1/s] and [s].
    amplitude
        (x, y, z) equilibrium magnetisation times the receive field [unit of the signal]; with one echo per flip
        angle also times the decay up to it.
    pd
        (x, y, z) proton density relative to water [1]; None if the step is switched off.
    b1
        (x, y, z) estimated ratio of the actual to the nominal flip angle; None if none was estimated.
    r2star
        (x, y, z) [1/s]; None if no flip angle has two echoes.
    r2
        (x, y, z) [1/s] from balanced steady states, 0 in bands; None without them.
    errors
        Standard deviations (x, y, z) of ``r1``, ``amplitude`` and ``r2star``.
    mask
        (x, y, z) bool.
    notes
        Decisions.
    """

    r1: Array
    t1: Array
    amplitude: Array
    pd: Array | None
    b1: Array | None
    r2star: Array | None
    r2: Array | None
    errors: Mapping[str, Array]
    mask: Array
    notes: tuple[str, ...]


def reconstruct_vfa(
    signal: Array,
    grid: Grid,
    *,
    flip_angles: Sequence[float],
    repetition_times: float | Sequence[float],
    echo_times: float | Sequence[float],
    mask: Array | None = None,
    b1: Array | str | None = None,
    balanced: BalancedSeries | None = None,
    method: str = "linear",
    params: Mapping[str, Mapping[str, Any]] | None = None,
    device: str | Device | None = None,
) -> VfaResult:
    """Compute R1, T1, R2* and the amplitude from spoiled gradient echoes at several flip angles.

    Parameters
    ----------
    signal
        (x, y, z, volume) magnitude, any unit.
    grid
        Geometry.
    flip_angles
        (volume,) nominal [deg].
    repetition_times, echo_times
        (volume,) [s], or one number for all volumes.
    mask
        (x, y, z) brain mask; None: computed as by ``qsmengine vfa``.
    b1
        (x, y, z) ratio of the actual to the nominal flip angle, or a method that estimates it,
        ``minimum_entropy`` or ``sharpening``; None: 1.
    balanced
        Balanced steady states on the same grid, for R2 (:class:`qsmengine.data.BalancedSeries`).
    method
        ``linear`` or ``nonlinear``, see ``qsmengine stage flip-angles --list``.
    params
        Parameters by stage: ``{"flip_angles": {"spoiling_increment": 50}}``.
    device
        As in :func:`qsmengine.reconstruct_qsm`.

    Raises
    ------
    InputError
        For arrays that do not fit, a single flip angle, implausible times, and B1 in percent.
    UsageError
        For an unknown method or parameter.
    """
    sections: dict[str, dict[str, Any]] = {
        "flip_angles": {"method": get_method("flip-angles", method).name},
        "common_decay": {},
        "proton_density": {},
        "balanced_decay": {},
        "transmit_field": {"method": get_method("transmit-field", b1).name} if isinstance(b1, str) else {},
    }  # fmt: skip
    unknown = (params or {}).keys() - sections.keys()
    if unknown:
        raise UsageError(f"params: unknown stage {', '.join(sorted(unknown))}")
    chosen = {name: {**section, **(params or {}).get(name, {})} for name, section in sections.items()}
    config = load_config(overrides={n: s for n, s in chosen.items() if s}, sections=SECTIONS)
    if signal.ndim != 4:
        raise InputError(
            f"the signal has shape {tuple(signal.shape)}, it needs (x, y, z, volume)", field="shape"
        )
    count = signal.shape[3]
    repetitions, echoes = (
        (float(table),) * count if isinstance(table, int | float) else tuple(table)
        for table in (repetition_times, echo_times)
    )
    series = VfaSeries(signal, tuple(flip_angles), repetitions, echoes, grid)
    where = device_for(device, signal)
    inside = brain_mask(series, where)[0] if mask is None else mask
    sized = replace(series, grid=sized_grid(grid, {"mask": inside}, device=where))
    found = run_vfa(
        sized, config, where, mask=inside, b1=None if isinstance(b1, str) else b1, balanced=balanced
    )
    maps, ending = found.maps, "_sd"
    return VfaResult(
        r1=maps["r1"],
        t1=maps["t1"],
        amplitude=maps["amplitude"],
        pd=maps.get("pd"),
        b1=maps.get("b1") if isinstance(b1, str) else None,
        r2star=maps.get("r2star"),
        r2=maps.get("balanced_r2"),
        errors={name: maps[name + ending] for name in ("r1", "amplitude", "r2star") if name + ending in maps},
        mask=maps["brain_mask"],
        notes=found.notes,
    )
