"""Lost slices in drawn heads: share found, and false alarms, for thresholds in standard deviations.

The number of a head draws its deformation and noise, which slices of which volumes lose signal, and how volumes
move. Thresholds were chosen with heads 0 to 2, and are reported with others. The last columns give the residual
of the worst volume over those of the same b-value.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, resolve_device
from qsmengine.data import DwiSeries
from qsmengine.modalities.dwi.account import Account, account_of
from qsmengine.modalities.dwi.run import run_dti
from qsmengine.phantom.head import virtual_head
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.diffusion.slices import SliceParams, judge_slices

EDGE = 3.0
KEPT = (0.9, 0.8, 0.6, 0.3)
"""Parts of the signal that are left in lost slices."""
THRESHOLDS = (3.0, 4.0, 5.0, 6.0)
FARTHEST, WIDEST = 6.0, 5.0
"""Largest shift along an axis [mm] and largest rotation [degree] of volumes that move."""
Places = npt.NDArray[np.bool_]


class Case(NamedTuple):
    """Series with a fault, and the lost slices (volume, slice)."""

    name: str
    series: DwiSeries
    lost: Places


def cases(number: int, snr: float) -> Iterator[Case]:
    """Yield a head without faults, with lost slices, and with moving volumes."""
    rng = np.random.default_rng(number)
    drawn = virtual_head(
        subject=1 + number % 3, voxel_size=(EDGE,) * 3, snr=snr, seed=number, modalities=("dwi",),
        deformation=2.0,
    ).dwi  # fmt: skip
    if drawn is None:
        raise AssertionError
    volumes, slices = len(drawn.b_values), drawn.grid.shape[2]
    yield Case("none", drawn, np.zeros((volumes, slices), dtype=np.bool_))
    filled = np.flatnonzero(drawn.signal[..., 0].max(axis=(0, 1)) > 0.3 * drawn.signal[..., 0].max())
    for kept in KEPT:
        lost = np.zeros((volumes, slices), dtype=np.bool_)
        for volume in rng.choice(volumes, volumes // 5, replace=False):
            lost[volume, rng.choice(filled, 3, replace=False)] = True
        signal = drawn.signal.copy()
        for volume, z in np.argwhere(lost).tolist():
            signal[:, :, z, volume] *= np.float32(kept)
        yield Case(f"{100 * (1 - kept):.0f} % lost", replace(drawn, signal=signal), lost)
    yield Case("motion", _moved(drawn, rng), np.zeros((volumes, slices), dtype=np.bool_))


def _moved(series: DwiSeries, rng: np.random.Generator) -> DwiSeries:
    """Return the series with a fifth of its volumes shifted and rotated."""
    from scipy.ndimage import rotate, shift

    signal = series.signal.copy()
    for volume in rng.choice(signal.shape[3], signal.shape[3] // 5, replace=False).tolist():
        moved = shift(signal[..., volume], rng.uniform(-FARTHEST, FARTHEST, 3) / EDGE, order=1)
        axes = ((0, 1), (1, 2))[int(rng.integers(2))]
        signal[..., volume] = rotate(moved, rng.uniform(-WIDEST, WIDEST), axes=axes, reshape=False, order=1)
    return replace(series, signal=signal)


def table(numbers: Sequence[int], snrs: Sequence[float], device: Device) -> list[dict[str, Any]]:
    """Print and return a row per fault and SNR: found and false for each threshold, and the worst volume."""
    found: dict[tuple[float, str], list[tuple[Account, Places]]] = {}
    for number in numbers:
        for snr in snrs:
            for case in cases(number, snr):
                result = run_dti(case.series, load_config(), device)
                found.setdefault((snr, case.name), []).append((account_of(result, case.series), case.lost))
    heading = "".join(f"{f'> {limit:g} SD':>20}" for limit in THRESHOLDS)
    print(f"{'SNR':>4} {'fault':<10}{heading}   worst volume, shift [mm]")
    rows = [_row(snr, name, members) for (snr, name), members in sorted(found.items())]
    for row in rows:
        cells = "".join(f"{f'{h}/{n}, {f} of {m}':>20}" for h, n, f, m in row["counts"])
        worst, shift = (" to ".join(f"{edge:.2f}" for edge in row[name]) for name in ("worst", "shift"))
        print(f"{row['snr']:4g} {row['fault']:<10}{cells}   {worst}, {shift}")
    return rows


def _row(snr: float, name: str, members: Sequence[tuple[Account, Places]]) -> dict[str, Any]:
    counts = []
    for limit in THRESHOLDS:
        total = np.zeros(4, dtype=int)
        for account, lost in members:
            outlier, score = judge_slices(account.slices.apart, account.groups, SliceParams(threshold=limit))
            judged = np.isfinite(score)
            total += [
                (outlier & lost).sum(),
                (lost & judged).sum(),
                (outlier & ~lost).sum(),
                (judged & ~lost).sum(),
            ]
        counts.append(total.tolist())
    worst = [float(np.nanmax(account.relative_residual)) for account, _ in members]
    shift = [float(np.nanmax(account.shifts)) for account, _ in members]
    edges = {key: (min(values), max(values)) for key, values in (("worst", worst), ("shift", shift))}
    return {"snr": snr, "fault": name, "counts": counts, **edges}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench lost-slices", description=__doc__)
    parser.add_argument("--heads", type=int, nargs="+", default=list(range(3, 9)))
    parser.add_argument("--snr", type=float, nargs="+", default=[10.0, 20.0, 40.0])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(argv)
    table(options.heads, options.snr, resolve_device(options.device))
    return 0
