"""`python -m tools gallery`: run every preset on two real gradient-echo series, check the maps, and draw them.

The figures are docs/images/presets-SET.png. A non-finite or implausible map ends the run with a message.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, resolve_device, to_numpy
from qsmengine.data import GreSeries
from qsmengine.demo_data import demo_path
from qsmengine.errors import QsmengineError
from qsmengine.io.gre import load_gre
from qsmengine.io.nifti import write_image
from qsmengine.modalities.gre.run import QsmResult, run_qsm
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.report.figures import overview
from qsmengine.report.panels import Panel
from tools.markdown import IMAGES, ROOT

PRESET_ORDER = ("accurate", "fast", "consensus", "double-echo-flash", "single-echo")
LARGEST_CHI = 3.0
"""Largest plausible 99.9th percentile of |chi| [ppm]; blood, bone, or a wrong unit would double it."""
SPREAD = (0.005, 0.3)
"""Plausible standard deviations of chi in a brain [ppm], with short echoes and near sinuses too."""


class ImplausibleError(QsmengineError):
    """A map that a head cannot have."""

    exit_code = 1


@dataclass(frozen=True)
class RealSet:
    """A real series: its name, headline, chi window [ppm] and brain volume [ml].

    A crop has no brain volume (None). Every preset masks it by phase and magnitude, because a surface cannot
    grow from the middle of a head that is not there.
    """

    name: str
    title: str
    series: GreSeries
    window: tuple[float, float]
    volume: tuple[float, float] | None


def real_sets() -> tuple[RealSet, ...]:
    """Return the bundled two-echo head and the three-echo crop of the tests."""
    head = demo_path("philips-gre-2echo-brain")
    crop = ROOT / "tests" / "data" / "romeo-gre-crop"
    echoes = (1, 2)
    whole = load_gre(
        [head / f"echo-{n}_mag.nii.gz" for n in echoes], [head / f"echo-{n}_phase.nii.gz" for n in echoes]
    )
    part = load_gre(
        crop / "Mag.nii.gz", crop / "Phase.nii.gz", echo_times=(0.004, 0.008, 0.012), field_strength=3.0
    )
    return (
        RealSet("head", "Whole head, 3 T, TE 2.3 and 4.6 ms, 3 mm", whole.series, (-0.3, 0.3), (900.0, 1900.0)),
        RealSet("crop", "Crop, TE 4, 8, 12 ms, 0.47 x 0.47 x 1 mm", part.series, (-0.2, 0.2), None),
    )


def echoes_for(preset: str, series: GreSeries) -> GreSeries:
    """Return the echoes that a preset is meant for: the last one, the first two, or all."""
    chosen = {"single-echo": slice(-1, None), "double-echo-flash": slice(0, 2)}.get(preset, slice(None))
    return GreSeries(
        series.magnitude[..., chosen], series.phase[..., chosen], series.echo_times[chosen], series.grid
    )


def implausible(result: QsmResult, volume: tuple[float, float] | None) -> list[str]:
    """Return the faults of the maps of a run; an empty list if there are none."""
    faults = []
    for name, array in result.maps.items():
        bad = int((~np.isfinite(to_numpy(array))).sum()) if array.dtype.kind == "f" else 0
        if bad:
            faults.append(f"{name} has {bad} values that are not finite")
    inside = to_numpy(result.mask)
    chi = to_numpy(result.chi)[inside].astype(np.float64)
    local, total = (to_numpy(result[n])[inside].astype(np.float64) for n in ("local_field", "total_field"))
    facts: list[tuple[str, float, tuple[float, float]]] = [
        ("standard deviation of chi [ppm]", float(chi.std()), SPREAD),
        ("99.9th percentile of |chi| [ppm]", float(np.percentile(np.abs(chi), 99.9)), (0.0, LARGEST_CHI)),
        ("spread of local over total field", float(local.std() / total.std()), (0.01, 0.95)),
    ]
    if volume is not None:
        millilitres = float(to_numpy(result["brain_mask"]).sum() * result.grid.voxel_volume / 1000)
        facts.append(("brain [ml]", millilitres, volume))
    if "r2star" in result.maps:
        facts.append(("median R2* [1/s]", float(np.median(to_numpy(result["r2star"])[inside])), (0.0, 100.0)))
    faults += [
        f"{what} is {value:.3g}, not within {low:g} to {high:g}"
        for what, value, (low, high) in facts
        if not low <= value <= high
    ]
    return faults


def reconstruct(real: RealSet, preset: str, device: Device, settings: Sequence[str] = ()) -> QsmResult:
    """Run a preset with changed settings on a series and check the maps; raises ImplausibleError."""
    overrides = {"mask": {"method": "phase_magnitude"}} if real.volume is None else {}
    config = load_config(preset=preset, overrides=overrides, settings=settings)
    result = run_qsm(echoes_for(preset, real.series), config, device)
    if faults := implausible(result, real.volume):
        raise ImplausibleError(f"{real.name}, {preset}: {'; '.join(faults)}")
    return result


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m tools gallery", description=__doc__)
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    arguments.add_argument("--out", type=Path, default=IMAGES, help="folder for the figures")
    options = arguments.parse_args(argv)
    device = resolve_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    for real in real_sets():
        results = {preset: reconstruct(real, preset, device) for preset in PRESET_ORDER}
        for preset, result in results.items():
            chi = 1000 * to_numpy(result.chi)[to_numpy(result.mask)]
            print(f"{real.name:5} {preset:18} chi {chi.std(dtype=float):6.1f} ppb SD, {chi.size} voxels")
        draw(real, results, options.out / f"presets-{real.name}.png")
    return 0


def draw(real: RealSet, results: dict[str, QsmResult], path: Path) -> None:
    """Write the figure of one set: magnitude, total field, chi of each preset."""
    first = next(iter(results.values()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def stored(label: str, array: Any) -> Path:
            write_image(folder / f"{label}.nii.gz", to_numpy(array), first.grid)
            return folder / f"{label}.nii.gz"

        panels: Sequence[Panel] = [
            Panel(
                stored("magnitude", real.series.magnitude[..., 0]), "magnitude", "magnitude",
                mask=stored("mask", to_numpy(first.mask).astype(np.uint8)),
            ),
            Panel(stored("total", first.total_field), "total field", "field", window=(-1.0, 1.0)),
            *(
                Panel(stored(preset, result.chi), f"chi, {preset}", "chi", window=real.window)
                for preset, result in results.items()
            ),
        ]  # fmt: skip
        overview(panels, path, real.title)
