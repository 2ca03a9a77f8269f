"""Python interface to spin-echo trains: arrays in, arrays out, on NumPy or CuPy, without file access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qsmengine.api.calls import device_for
from qsmengine.backend.device import Device
from qsmengine.data import Array, MeseSeries
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.modalities.mese.run import brain_mask, run_mese
from qsmengine.modalities.mese.stages import SECTIONS
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.object_size import sized_grid


@dataclass(frozen=True)
class MeseResult:
    """Maps of a spin-echo train.

    Parameters
    ----------
    r2, t2
        (x, y, z) [1/s] and [s].
    amplitude
        (x, y, z) signal before decay [unit of the signal].
    b1
        (x, y, z) ratio of the actual to the nominal flip angle, fitted or given.
    r2_sd
        (x, y, z) standard deviation of R2 [1/s].
    r2prime
        (x, y, z) R2* - R2, at least 0 [1/s]; None without a map of R2*.
    clipped
        Share of voxels in which R2* is below R2 [1]; None without a map of R2*.
    mask
        (x, y, z) bool.
    notes
        Decisions.
    """

    r2: Array
    t2: Array
    amplitude: Array
    b1: Array
    r2_sd: Array
    r2prime: Array | None
    clipped: float | None
    mask: Array
    notes: tuple[str, ...]


def reconstruct_mese(
    signal: Array,
    grid: Grid,
    *,
    echo_times: Sequence[float],
    mask: Array | None = None,
    b1: Array | None = None,
    r2star: Array | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    device: str | Device | None = None,
) -> MeseResult:
    """Compute R2, T2 and B1 from multi-echo spin echoes, with stimulated echoes in the model.

    Parameters
    ----------
    signal
        (x, y, z, echo) magnitude, any unit.
    grid
        Geometry.
    echo_times
        (echo,) [s], multiples of the first.
    mask
        (x, y, z) brain mask; None: computed as by ``qsmengine mese``.
    b1
        (x, y, z) ratio of the actual to the nominal flip angle; None: fitted.
    r2star
        (x, y, z) [1/s], for R2'; None: no R2'.
    params
        Parameters by stage: ``{"spin_echo_decay": {"refocusing": 160}}``.
    device
        As in :func:`qsmengine.reconstruct_qsm`.

    Raises
    ------
    InputError
        For arrays that do not fit, fewer than four echoes, and times that are not multiples of their spacing.
    UsageError
        For an unknown stage or parameter.
    """
    unknown = (params or {}).keys() - set(SECTIONS)
    if unknown:
        raise UsageError(f"params: unknown stage {', '.join(sorted(unknown))}")
    overrides = {name: dict(section) for name, section in (params or {}).items()}
    config = load_config(overrides=overrides, sections=SECTIONS)
    series = MeseSeries(signal, tuple(echo_times), grid)
    where = device_for(device, signal)
    inside = brain_mask(series, where)[0] if mask is None else mask
    sized = replace(series, grid=sized_grid(grid, {"mask": inside}, device=where))
    found = run_mese(sized, config, where, mask=inside, b1=b1, r2star=r2star)
    maps = found.maps
    return MeseResult(
        r2=maps["r2"], t2=maps["t2"], amplitude=maps["spin_amplitude"], b1=maps["refocusing_b1"],
        r2_sd=maps["r2_sd"], r2prime=maps.get("r2prime"), clipped=found.facts.get("clipped"),
        mask=maps["brain_mask"], notes=found.notes,
    )  # fmt: skip
