"""Pictures of the raw echoes: magnitude, phase, unwrapped phase, and phase that the field does not describe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import GreSeries
from qsmengine.errors import InputError
from qsmengine.grid import check_same_grid
from qsmengine.io.gre import load_gre
from qsmengine.io.nifti import read_image
from qsmengine.modalities.gre.residuals import phase_residuals, unwrapped_phase
from qsmengine.modalities.gre.series import group
from qsmengine.modalities.raw import Drawn, RawSeries
from qsmengine.modalities.style import Style
from qsmengine.units import hz_per_ppm

MAGNITUDE = Style("gray", None, "a.u.")
PHASE = Style("gray", (-np.pi, np.pi), "rad")
RESIDUAL = Style("inferno", (0.0, np.pi), "rad")
SETTINGS = ("phase_sign", "phase_units", "slice_alternation", "repetitions")
"""Settings of the configuration's input that loading takes."""


def pictures(raw: RawSeries) -> list[Drawn]:
    """Return the pictures of a reconstruction's raw echoes; none if they are not there.

    Raises
    ------
    InputError
        For images that cannot be read, or do not fit the maps.
    """
    series, _ = group(raw.files)
    total, mask = raw.find("desc-total_fieldmap.nii.gz"), raw.find("desc-brain_mask.nii.gz")
    if not series or total is None or mask is None:
        return []
    parts = {role: [raw.root / path for path in paths] for role, paths in series[0].parts.items()}
    settings = {name: raw.settings[name] for name in SETTINGS if name in raw.settings}
    loaded = load_gre(
        parts.get("magnitude"), parts.get("phase"), real=parts.get("real"), imag=parts.get("imag"), **settings
    ).series
    brain = _on_grid(mask, loaded) > 0.5
    field = _on_grid(total, loaded) / np.float32(hz_per_ppm(loaded.grid.required_field_strength))
    return [_echoes(loaded, brain), _unwrapped(loaded, field, brain), *_residual(loaded, field, brain)]


def _on_grid(path: Path, series: GreSeries) -> npt.NDArray[np.float32]:
    array, grid = read_image(path, dtype=np.float32)[:2]
    check_same_grid(grid, series.grid, path, "the echoes")
    if array.ndim != 3:
        raise InputError(f"shape {array.shape}, need three axes", source=path, field="dim")
    return np.asarray(array)


def _echoes(series: GreSeries, brain: npt.NDArray[np.bool_]) -> Drawn:
    return Drawn(
        "magnitude and phase of each echo",
        "The line is the rim of the mask: it follows the brain, without air or skull. "
        "Phase wraps more often in later echoes; noise without wraps is lost signal.",
        MAGNITUDE,
        np.asarray(series.magnitude),
        series.grid,
        brain,
        ("snr", "mask_volume"),
        below=(np.asarray(series.phase), PHASE),
        names=tuple(f"{1e3 * time:.3g} ms" for time in series.echo_times),
    )


def _unwrapped(series: GreSeries, field: npt.NDArray[np.float32], brain: npt.NDArray[np.bool_]) -> Drawn:
    several = series.n_echoes > 1
    phase = unwrapped_phase(series, field, brain)
    limit = float(np.percentile(np.abs(phase[brain]), 99)) if brain.any() else np.pi
    return Drawn(
        "unwrapped phase, last echo minus first" if several else "unwrapped phase",
        "Smooth: an edge with a jump of 6.28 rad is a wrap that unwrapping left.",
        Style("gray", (-limit, limit), "rad"),
        phase,
        series.grid,
        brain,
    )


def _residual(series: GreSeries, field: npt.NDArray[np.float32], brain: npt.NDArray[np.bool_]) -> list[Drawn]:
    """Return the largest residual of all pairs of echoes; nothing for a single echo."""
    if series.n_echoes < 2:
        return []
    largest = np.zeros(series.grid.shape, np.float32)
    for one in phase_residuals(series, field, brain):
        largest[brain] = np.maximum(largest[brain], np.abs(one))
    return [
        Drawn(
            "phase that the field does not describe",
            "Dark, with bright voxels at vessels and above the sinuses only; bright patches are wraps, motion, "
            "or an echo in another unit.",
            RESIDUAL,
            largest,
            series.grid,
            brain,
            ("field_residual", "field_noise"),
        )
    ]
