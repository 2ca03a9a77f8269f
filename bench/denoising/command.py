"""`python -m bench denoising`: effect of denoising on a virtual head's signal, R2* and susceptibility.

A head with veins, calcifications and lesions, two echoes at 3 T, is given noise at several SNR (in white
matter, first echo, per channel) and goes through a preset's chain: as it is, with each of its four real and
imaginary parts filtered separately, and with one set of weights for all. The noise is estimated.

- psnr [dB]: of the magnitude of both echoes, peak the largest true magnitude.
- phase [rad]: root mean square of the wrapped difference to the true phase.
- r2star, chi [%]: nrmse in the mask (see qsmengine/stages/metrics.py; chi is 0 where a step left voxels out).
- dgm [ppb]: root mean square error of the means of thalamus, caudate, putamen and pallidum, both demeaned.
- shift [ppb]: largest change of such a mean against the chain without denoising.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.accuracy.scenarios import ECHO_TIMES
from bench.accuracy.scoring import REGIONS
from bench.accuracy.tables import markdown
from bench.denoising.figures import write_figures
from bench.timing import parser, report, write_json
from qsmengine.backend.device import Device, resolve_device, to_numpy
from qsmengine.data import Array, GreSeries
from qsmengine.errors import UsageError
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.phantom.head import VirtualHead, virtual_head
from qsmengine.pipeline.configuration.config import load_config, parse_value
from qsmengine.pipeline.configuration.model import Config
from qsmengine.stages.denoise.complex_mnlm import ComplexMnlmParams, complex_mnlm, turned_parts
from qsmengine.stages.denoise.noise import estimate_sigma, quietest
from qsmengine.stages.metrics import nrmse

VARIANTS = ("none", "each part", "joint")
COLUMNS = ("psnr", "phase", "r2star", "chi", "dgm", "shift")


@dataclass(frozen=True)
class Truth:
    """A head without noise."""

    head: VirtualHead
    clean: GreSeries


def main(argv: list[str]) -> int:
    arguments = parser(__doc__, "denoising")
    arguments.add_argument("--snr", type=float, nargs="+", default=(20.0, 40.0, 80.0))
    arguments.add_argument("--voxel-size", type=float, default=2.0, help="[mm]")
    arguments.add_argument("--subject", type=int, default=1)
    arguments.add_argument("--texture", type=float, default=0.1, help="relative, of tissue inside a region")
    arguments.add_argument("--preset", default="double-echo-flash")
    arguments.add_argument("--set", action="append", dest="settings", default=[], help="setting of the chain")
    arguments.add_argument("--filter", action="append", default=[], help="parameter of the filter, NAME=VALUE")
    arguments.add_argument("--signal-only", action="store_true", help="no chain: magnitude and phase alone")
    arguments.add_argument("--figures", type=Path, metavar="DIR", help="write PNGs of the lowest SNR")
    options = arguments.parse_args(argv)
    device = resolve_device((options.device or ["cpu"])[0], options.threads)
    truth = _truth(options.subject, options.voxel_size, options.texture)
    chain = None if options.signal_only else load_config(preset=options.preset, settings=options.settings)
    params = ComplexMnlmParams.model_validate(
        {name: parse_value(value) for name, value in (text.split("=", 1) for text in options.filter)}
    )
    rows = []
    for snr in options.snr:
        noisy = _noisy(truth, snr, seed=options.subject)
        noise = _estimated_noise(truth, noisy, _sigma(truth, snr), device)
        print(f"SNR {snr:g}, noise estimated / true: {noise['together']:.2f}; of each part by itself", end=" ")
        print(" ".join(f"{value:.2f}" for value in noise["alone"]), flush=True)
        rows += [
            {"snr": snr, "noise": noise["together"]} | row
            for row in _compare(truth, noisy, params, chain, device)
        ]
        if options.figures is not None and snr == min(options.snr):
            filtered = denoised(noisy, truth.head.mask, params, device)
            write_figures(truth.clean, noisy, filtered, truth.head.mask, options.figures)
    print(_table(rows))
    settings = {
        "voxel_size": options.voxel_size,
        "texture": options.texture,
        "preset": options.preset,
        "filter": params.model_dump(mode="json"),
    }
    write_json(options.json, [report("denoising", device, rows, **settings)])
    return 0


def denoised(series: GreSeries, mask: Array, params: ComplexMnlmParams, device: Device) -> GreSeries:
    """Series with magnitude and phase filtered inside the mask."""
    found = complex_mnlm(series.magnitude, series.phase, series.grid, params, device=device, mask=mask)
    return replace(series, magnitude=to_numpy(found.magnitude), phase=to_numpy(found.phase))


def _truth(subject: int, voxel_size: float, texture: float) -> Truth:
    head = virtual_head(
        subject=subject, features=("veins", "calcifications", "lesions"), voxel_size=(voxel_size,) * 3,
        echo_times=ECHO_TIMES[3.0, 2], seed=subject, texture=texture,
    )  # fmt: skip
    if head.gre is None:
        raise UsageError("the head has no gradient echoes")
    return Truth(head, head.gre)


def _noisy(truth: Truth, snr: float, seed: int) -> GreSeries:
    rng = np.random.default_rng([seed, int(snr)])
    clean, sigma = truth.clean, _sigma(truth, snr)
    noise = rng.normal(0, sigma, (2, *clean.magnitude.shape)).astype(np.float32)
    signal = clean.magnitude * np.exp(1j * clean.phase) + noise[0] + 1j * noise[1]
    return replace(clean, magnitude=abs(signal).astype(np.float32), phase=np.angle(signal).astype(np.float32))


def _sigma(truth: Truth, snr: float) -> float:
    """Noise of a real or imaginary part."""
    white = np.isin(truth.head.labels, (2, 41)) & truth.head.mask
    return float(truth.clean.magnitude[..., 0][white].mean(dtype=np.float64)) / snr


def _estimated_noise(truth: Truth, noisy: GreSeries, sigma: float, device: Device) -> dict[str, Any]:
    """Estimated noise relative to the true noise: of all parts jointly, and of each part separately."""
    params, mask = ComplexMnlmParams(), truth.head.mask
    parts, _ = turned_parts(noisy.magnitude, noisy.phase, mask, params, device)
    together = estimate_sigma(quietest(parts, mask, device=device), mask, device=device)[0]
    alone = estimate_sigma(parts, mask, device=device)
    return {"together": together / sigma, "alone": [value / sigma for value in alone]}


def _compare(
    truth: Truth, noisy: GreSeries, params: ComplexMnlmParams, chain: Config | None, device: Device
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    means: dict[str, npt.NDArray[np.float64]] = {}
    for variant in VARIANTS:
        start = time.perf_counter()
        series = noisy
        if variant != "none":
            own = params.model_copy(update={"joint": variant == "joint"})
            series = denoised(noisy, truth.head.mask, own, device)
        row: dict[str, Any] = {"variant": variant, "seconds": time.perf_counter() - start}
        row |= _signal_scores(truth, series)
        if chain is not None:
            scores, means[variant] = _map_scores(truth, series, chain, device)
            row |= scores | {"shift": float(1e3 * np.abs(means[variant] - means["none"]).max())}
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
        rows.append(row)
    return rows


def _signal_scores(truth: Truth, series: GreSeries) -> dict[str, float]:
    mask, clean = truth.head.mask, truth.clean
    size = clean.magnitude[mask].astype(np.float64)
    error = series.magnitude[mask] - size
    angle = np.angle(np.exp(1j * (series.phase[mask].astype(np.float64) - clean.phase[mask])))
    return {
        "psnr": float(10 * np.log10(size.max() ** 2 / np.mean(error**2))),
        "phase": float(np.sqrt(np.mean(angle**2))),
    }


def _map_scores(
    truth: Truth, series: GreSeries, chain: Config, device: Device
) -> tuple[dict[str, float], npt.NDArray[np.float64]]:
    head = truth.head
    result = run_qsm(series, chain, device, mask=head.mask)
    chi, rate = to_numpy(result.chi), to_numpy(result["r2star"])
    found, true = (_means(image, head) for image in (chi, head.truth["chi"].array))
    scores = {
        "r2star": nrmse(rate, head.truth["r2star"].array, head.mask),
        "chi": nrmse(chi, head.truth["chi"].array, head.mask),
        "dgm": float(1e3 * np.sqrt(np.mean((found - true) ** 2))),
    }
    return scores, found


def _means(image: Array, head: VirtualHead) -> npt.NDArray[np.float64]:
    values = np.asarray(image, dtype=np.float64)
    values = values - values[head.mask].mean()
    return np.array([values[np.isin(head.labels, numbers) & head.mask].mean() for numbers in REGIONS.values()])


def _table(rows: list[dict[str, Any]]) -> str:
    titles = (
        "SNR",
        "denoising",
        "psnr [dB]",
        "phase [rad]",
        "R2* [%]",
        "chi [%]",
        "DGM [ppb]",
        "shift [ppb]",
    )
    digits = (1, 4, 2, 2, 1, 1)
    return markdown(
        titles,
        [
            (
                f"{row['snr']:g}",
                row["variant"],
                *(f"{row[c]:.{d}f}" if c in row else "" for c, d in zip(COLUMNS, digits, strict=True)),
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
