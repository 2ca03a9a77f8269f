"""Perfusion of drawn heads, from noisy signals to maps: the automatic artery, blood flow, and blood volume.

The number of a head draws its deformation, arteries, texture, and noise. A row gives the number of voxels of
the artery, the least fraction of artery in them, whether a second run chooses the same, the area of the
arterial curve over the true one, and the errors of blood flow and volume in grey and white matter outside
large vessels. The residue function of the heads is exponential, as in the default method, or another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import DscSeries
from qsmengine.modalities.dsc.run import brain_mask, run_dsc
from qsmengine.phantom.anatomy import Anatomy, head_anatomy
from qsmengine.phantom.bolus import Bolus
from qsmengine.phantom.drawing import Scene
from qsmengine.phantom.dsc import DscSettings
from qsmengine.phantom.dsc_drawing import add_noise, simulate
from qsmengine.phantom.gre import smooth_coil
from qsmengine.pipeline.configuration.config import load_config

TISSUES = {"grey": (3, 42), "white": (2, 41)}
RESIDUES = {"exponential": (1.0,), "gamma": (3.0,), "box": (50.0,), "mixed": (1.0, 8.0)}
"""Shapes of the gamma distributions of transit times of each kind of residue function."""
EDGE, DEFORMATION = 3.0, 2.0
Row = dict[str, float]


def drawn(number: int, residue: str = "exponential") -> tuple[DscSeries, dict[str, Any], Anatomy]:
    """Noiseless series, truth, and anatomy of a head."""
    anatomy = head_anatomy(subject=1 + number % 3, voxel_size=(EDGE,) * 3, seed=number, deformation=DEFORMATION)
    coil = smooth_coil(anatomy.grid, np.random.default_rng(number))
    scene = Scene(anatomy, {}, coil, anatomy.grid, None, np.random.default_rng(100 + number), ())
    series, truth = simulate(scene, DscSettings(transit_shapes=RESIDUES[residue]))
    return series, {name: to_numpy(image.array) for name, image in truth.items()}, anatomy


def table(
    numbers: Sequence[int],
    snrs: Sequence[float],
    residues: Sequence[str],
    settings: Sequence[str],
    device: Device,
) -> dict[str, list[Row]]:
    """Print and return, for each residue function, a row per head and SNR (infinite: no noise)."""
    found = {}
    for residue in residues:
        print(f"residue function: {residue}")
        found[residue] = _rows(numbers, snrs, residue, settings, device)
    return found


def _rows(
    numbers: Sequence[int], snrs: Sequence[float], residue: str, settings: Sequence[str], device: Device
) -> list[Row]:
    print(f"{'head':>5}{'SNR':>5}{'voxels':>7}{'artery':>8}{'same':>6}{'area':>7}   error [%] of CBF and CBV")
    rows = []
    for number in numbers:
        clean, truth, anatomy = drawn(number, residue)
        for snr in snrs:
            series = clean
            if np.isfinite(snr):
                rng = np.random.default_rng(7 * number + round(snr))
                series = add_noise(clean, snr, anatomy.reference, rng)
            rows.append(_row(series, truth, anatomy, settings, device) | {"head": number, "snr": snr})
            _show(rows[-1])
    for snr in snrs:
        _summarise([row for row in rows if row["snr"] == snr], snr)
    return rows


def _row(
    series: DscSeries, truth: dict[str, Any], anatomy: Anatomy, settings: Sequence[str], device: Device
) -> Row:
    mask, _ = brain_mask(series, device)
    found = run_dsc(series, load_config(settings=settings), device, mask=mask)
    quick = load_config(settings=[*settings, "deconvolution=csvd", "leakage=none"])
    artery, again = (
        to_numpy(run["aif_mask"]) > 0 for run in (found, run_dsc(series, quick, device, mask=mask))
    )
    area = found.aif.sum() / Bolus().arterial(series.times).sum()
    row = {
        "voxels": float(artery.sum()), "artery": float(truth["artery"][artery].min()),
        "same": float((artery == again).all()), "area": float(area),
    }  # fmt: skip
    free = (truth["artery"] == 0) & (truth["vein"] == 0) & anatomy.mask & (to_numpy(mask) > 0)
    for tissue, labels in TISSUES.items():
        where = np.isin(anatomy.labels, labels) & free
        for name in ("cbf", "cbv"):
            ratio = to_numpy(found[name])[where].mean() / truth[name][where].mean()
            row[f"{name} {tissue}"] = 100.0 * (float(ratio) - 1.0)
    return row


def _errors(row: Row) -> str:
    return "  ".join(f"{name} {row[name]:+6.1f}" for name in row if name.startswith("cb"))


def _show(row: Row) -> None:
    same = "yes" if row["same"] else "no"
    print(
        f"{row['head']:5.0f}{row['snr']:5.0f}{row['voxels']:7.0f}{row['artery']:8.2f}{same:>6}"
        f"{row['area']:7.3f}   {_errors(row)}",
        flush=True,
    )


def _summarise(rows: Sequence[Row], snr: float) -> None:
    errors = {name: [abs(row[name]) for row in rows] for name in rows[0] if name.startswith("cb")}
    print(
        f"SNR {snr:g}, {len(rows)} heads: least fraction of artery {min(row['artery'] for row in rows):.2f}, "
        f"the same voxels in {sum(row['same'] for row in rows):.0f}; largest error [%] "
        + ", ".join(f"{name} {max(values):.1f}" for name, values in errors.items())
    )
