"""Relaxometry of drawn heads at an SNR of 60: errors of regional means, the transmit field, and susceptibility.

The number of a head draws its label map, deformation, texture, coil, and noise; parameters were chosen on heads
with other numbers. White matter, cortex and four deep nuclei count; an error is that of the mean of a region,
and the largest over the regions is printed. R2 of balanced steady states is counted less than 8 Hz from
resonance and elsewhere outside the bands, from two flip angles (15 and 45 degrees, TR 6 ms) with the true field
and B1, and from four increments. The error of ln B1 is its standard deviation in the brain, with B1 = 1 and by
both estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qsmengine import reconstruct_mese, reconstruct_qsm, reconstruct_vfa
from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array, BalancedSeries, GreSeries
from qsmengine.modalities.vfa.phases import combined_echoes
from qsmengine.phantom.bssfp import BalancedSettings, bssfp_signal
from qsmengine.phantom.head import VirtualHead, virtual_head
from qsmengine.phantom.mese_drawing import DRAWING as MESE
from qsmengine.phantom.vfa import SIGNAL_SCALE
from qsmengine.phantom.vfa_drawing import DRAWING as VFA
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.units import hz_per_ppm

REGIONS = {
    "white matter": (2, 41), "cortex": (3, 42), "thalamus": (10, 49), "caudate": (11, 50), "putamen": (12, 51),
    "pallidum": (13, 52),
}  # fmt: skip
TWO = BalancedSettings((15.0, 45.0), (180.0, 180.0), 0.006)
FOUR = BalancedSettings((40.0,) * 4, (0.0, 90.0, 180.0, 270.0), 0.006)
NEAR = 8.0
"""Largest offset that counts as on resonance [Hz]."""
LEAST = 50
"""Fewest voxels of a region that counts."""
DEFORMATION = 2.0
Row = dict[str, float]
Means = dict[str, dict[str, tuple[float, float]]]
"""Quantity -> region -> measured and true mean."""


@dataclass
class Case:
    """A head with noise, and what it was drawn from.

    Parameters
    ----------
    number, edge, snr
        Number of the head, voxel edge [mm], and SNR.
    device
        Compute device.
    """

    number: int
    edge: float
    snr: float
    device: Device
    head: VirtualHead = field(init=False)

    def __post_init__(self) -> None:
        self.head = virtual_head(
            subject=1 + self.number % 3, voxel_size=(self.edge,) * 3, modalities=(VFA, MESE), seed=self.number,
            deformation=DEFORMATION,
        )  # fmt: skip
        self.rng = np.random.default_rng(1000 + self.number)
        self.reference = self.head.mask & np.isin(self.head.labels, REGIONS["white matter"])
        self.vfa = VFA.add_noise(self.head.series("vfa"), self.snr, self.reference, self.rng)
        self.mese = MESE.add_noise(self.head.series("mese"), self.snr, self.reference, self.rng)
        offset = hz_per_ppm(self.head.grid.required_field_strength) * self.truth("total_field")
        self.frequency = np.asarray(offset, np.float32)

    def truth(self, name: str) -> Array:
        """Return a true map (x, y, z)."""
        return to_numpy(self.head.truth[name].array)

    def mean(self, image: Array, labels: Sequence[int], where: Array) -> float:
        """Return the mean of a region, NaN where it has few voxels."""
        region = np.isin(self.head.labels, labels) & where
        return float(image[region].mean()) if region.sum() >= LEAST else np.nan

    def largest(self, image: Array, truth: Array, where: Array) -> float:
        """Return the largest error [%] of the mean of a region."""
        errors = [
            100.0 * (self.mean(image, labels, where) / self.mean(truth, labels, where) - 1.0)
            for labels in REGIONS.values()
        ]
        known = [error for error in errors if np.isfinite(error)]
        return max(known, key=abs)

    def relaxometry(self, b1: Any = None, balanced: BalancedSeries | None = None) -> Any:
        """Return the maps of the flip angles."""
        series = self.vfa.series
        return reconstruct_vfa(
            series.signal, self.head.grid, flip_angles=series.flip_angles,
            repetition_times=series.repetition_times, echo_times=series.echo_times, mask=self.head.mask, b1=b1,
            balanced=balanced, device=self.device,
        )  # fmt: skip

    def balanced(self, settings: BalancedSettings, *, phases: bool) -> BalancedSeries:
        """Return balanced steady states with noise."""
        mask = self.head.mask
        maps = {name: np.where(mask, self.truth(name), 1).astype("f4") for name in ("r1", "r2")}
        size = np.asarray(np.where(mask, SIGNAL_SCALE * self.truth("m0"), 0), np.float32)
        clean = bssfp_signal(
            **maps, amplitude=size, b1=self.vfa.b1, frequency=self.frequency, settings=settings
        )
        sigma = np.abs(clean)[self.reference].mean(axis=0).max() / self.snr
        noisy = clean + sigma * (self.rng.normal(size=clean.shape) + 1j * self.rng.normal(size=clean.shape))
        count, tr = len(settings.flip_angles), settings.repetition_time
        return BalancedSeries(
            np.abs(noisy).astype("f4"), settings.flip_angles, settings.increments, (tr,) * count,
            (tr / 2,) * count, np.angle(noisy).astype("f4") if phases else None, self.truth("total_field"),
        )  # fmt: skip

    def echoes(self) -> list[GreSeries]:
        """Return magnitudes and phases of every flip angle with noise."""
        clean = self.head.series("vfa").series
        sigma = clean.signal[self.reference].mean(axis=0, dtype=float).max() / self.snr
        found = []
        for turn, flip in enumerate(sorted(set(clean.flip_angles))):
            own = [k for k, angle in enumerate(clean.flip_angles) if angle == flip]
            times = tuple(clean.echo_times[k] for k in own)
            phases = [np.exp(1j * (0.8 * turn + 2 * np.pi * self.frequency * time)) for time in times]
            made = clean.signal[..., own] * np.stack(phases, axis=-1)
            made = made + sigma * (self.rng.normal(size=made.shape) + 1j * self.rng.normal(size=made.shape))
            found.append(
                GreSeries(np.abs(made).astype("f4"), np.angle(made).astype("f4"), times, self.head.grid)
            )
        return found


def relaxometry_of(case: Case) -> tuple[Row, Means]:
    """Return the errors of a head, and (measured, true) means by quantity and region."""
    head, mask, true_b1 = case.head, case.head.mask, case.vfa.b1
    found = case.relaxometry(true_b1, case.balanced(TWO, phases=False))
    spin = reconstruct_mese(
        case.mese.series.signal, head.grid, echo_times=case.mese.series.echo_times, mask=mask,
        device=case.device,
    )  # fmt: skip
    pairs = {"r1": (found.r1, "r1"), "r2star": (found.r2star, "r2star"), "pd": (found.pd, "m0")}
    pairs["r2"] = (spin.r2, "r2")
    maps = {name: (to_numpy(image), case.truth(truth)) for name, (image, truth) in pairs.items()}
    row = {name: case.largest(image, truth, mask & (image > 0)) for name, (image, truth) in maps.items()}
    means = {
        name: {
            region: (case.mean(image, labels, mask & (image > 0)), case.mean(truth, labels, mask))
            for region, labels in REGIONS.items()
        }
        for name, (image, truth) in maps.items()
    }
    r2, near = to_numpy(found.r2), np.abs(case.frequency) < NEAR
    row["bssfp near"] = case.largest(r2, case.truth("r2"), mask & (r2 > 0) & near)
    row["bssfp far"] = case.largest(r2, case.truth("r2"), mask & (r2 > 0) & ~near)
    row["banded"] = 100.0 * float((r2[mask] == 0).mean())
    turned = to_numpy(case.relaxometry(true_b1, case.balanced(FOUR, phases=True)).r2)
    row["ellipse"] = case.largest(turned, case.truth("r2"), mask & (turned > 0))
    row["r1 nominal"] = case.largest(to_numpy(case.relaxometry().r1), case.truth("r1"), mask)
    row["b1 nominal"] = float(np.log(true_b1[mask]).std())
    for method in ("minimum_entropy", "sharpening"):
        b1 = to_numpy(case.relaxometry(method).b1)
        row[f"b1 {method}"] = float(np.log(b1[mask] / true_b1[mask]).std())
    return row, means


def susceptibility_of(case: Case, preset: str) -> tuple[Row, dict[str, tuple[float, float]]]:
    """Return errors of field and chi from all flip angles and from each, and (measured, true) means of chi."""
    parts = case.echoes()
    flips = sorted(set(case.vfa.series.flip_angles))
    named = {"all": combined_echoes(parts)}
    named |= {f"{flip:g} deg": part for flip, part in zip(flips, parts, strict=True)}
    row: Row = {}
    means: dict[str, tuple[float, float]] = {}
    truth, total = case.truth("chi"), case.truth("total_field")
    for name, one in named.items():
        found = reconstruct_qsm(
            one.magnitude, one.phase, one.echo_times, case.head.grid, mask=case.head.mask,
            config=load_config(preset=preset), device=case.device,
        )  # fmt: skip
        chi, measured = to_numpy(found.chi), to_numpy(found.total_field)
        seen = chi != 0
        error = (measured - total)[seen]
        row[f"field {name}"] = 1e3 * float(np.median(np.abs(error - np.median(error))))
        shift = float((chi - truth)[seen].mean())
        rest, scale = (chi - truth)[seen] - shift, truth[seen] - truth[seen].mean()
        row[f"chi {name}"] = 100.0 * float(np.linalg.norm(rest) / np.linalg.norm(scale))
        if name == "all":
            for region, labels in REGIONS.items():
                pair = case.mean(chi, labels, seen) - shift, case.mean(truth, labels, seen)
                means[region] = (1e3 * pair[0], 1e3 * pair[1])
    return row, means


def table(
    numbers: Sequence[int], edge: float, snr: float, device: Device, preset: str | None
) -> dict[str, Any]:
    """Print and return the errors of every head and the means of its regions; chi with a preset only."""
    rows: list[Row] = []
    regions: list[Means] = []
    for number in numbers:
        case = Case(number, edge, snr, device)
        row, means = relaxometry_of(case)
        if preset is not None:
            more, means["chi"] = susceptibility_of(case, preset)
            row |= more
        rows.append({"head": number, **row})
        regions.append(means)
        print(f"head {number}: " + ", ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)
    print(f"largest of {len(rows)} heads at an SNR of {snr:g}:")
    for name in rows[0]:
        if name != "head":
            print(f"  {name:20} {max((row[name] for row in rows), key=abs):8.3g}")
    for region in REGIONS:
        cells = [
            f"{name} {np.mean([r[name][region][0] for r in regions]):.4g}"
            f" / {np.mean([r[name][region][1] for r in regions]):.4g}"
            for name in regions[0]
        ]  # fmt: skip
        print(f"  {region:14} " + "  ".join(cells))
    return {"heads": rows, "regions": regions}
