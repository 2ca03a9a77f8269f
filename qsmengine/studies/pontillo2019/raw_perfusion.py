"""Bolus series of a participant of the virtual cohort, and what is measured in it.

The perfusion images have larger voxels, as in practice. Every structure has the drawn blood volume; its flow
follows from the mean transit time of its tissue. Blood volume and flow are measured relative to white matter,
away from its rim, and scaled to the values of white matter in the phantom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from qsmengine.api.perfusion import reconstruct_dsc
from qsmengine.backend.device import Device, to_numpy
from qsmengine.data import Array, DscSeries
from qsmengine.grid import Grid
from qsmengine.phantom.anatomy import average_tissue
from qsmengine.phantom.arteries import artery_share
from qsmengine.phantom.dsc import DscSettings, dsc_signal
from qsmengine.phantom.dsc_drawing import FATTY, UNSUPPRESSED
from qsmengine.phantom.gre import smooth_coil
from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.perfusion import DENSITY, Perfusion, perfusion_maps, perfusion_table
from qsmengine.phantom.resample import Resampler
from qsmengine.phantom.tissue import TissueMaps
from qsmengine.studies.pontillo2019.published import STRUCTURES

LEAST_VOXEL = 3.0
"""Smallest voxel of a bolus series [mm]."""
SETTINGS = DscSettings(frames=50)
METRICS = ("rCBV", "rCBF")
UNITS = {"rCBV": "mL/100mL", "rCBF": "mL/100mL/min"}


@dataclass(frozen=True)
class RawPerfusion:
    """Bolus series of a participant, with its truth.

    Parameters
    ----------
    series
        Signals.
    labels, white, mask
        (x, y, z): structures (1 to 4, in the order of `STRUCTURES`) and white matter away from its rim, both
        without large vessels, and brain.
    truth
        "rCBV" [mL/100 mL], "rCBF" [mL/100 mL/min]: (x, y, z).
    """

    series: DscSeries
    labels: npt.NDArray[np.int16]
    mask: npt.NDArray[np.bool_]
    white: npt.NDArray[np.bool_]
    truth: Mapping[str, Array]


def raw_perfusion(
    head: HeadIndex,
    fine: TissueMaps,
    values: Mapping[str, float],
    *,
    voxel_size: float,
    field_strength: float,
    snr: float,
    seeds: np.random.SeedSequence,
) -> RawPerfusion:
    """Simulate the bolus series of a head whose structures have the drawn blood volumes.

    `values` are named ``rCBV_STRUCTURE`` [mL/100 mL]; `fine` is the tissue on the label grid.
    """
    vessels, texture, coil, noise = (np.random.default_rng(seed) for seed in seeds.spawn(4))
    resampler = Resampler(head.grid, (max(voxel_size, LEAST_VOXEL),) * 3)
    grid = Grid(resampler.shape, resampler.affine, field_strength)
    tissue = average_tissue(fine, resampler)
    table = perfusion_table()
    regions = {
        name: Perfusion(values[f"rCBV_{name}"] / DENSITY, table[name].mtt, table[name].r1)
        for name in STRUCTURES
    }
    perfusion = perfusion_maps(
        head, fine.m0, resampler, artery=artery_share(head, vessels), rng=texture, regions=regions,
        texture=0.05, delay=SETTINGS.delay,
    )  # fmt: skip
    names = np.array([STRUCTURES.index(r.name) + 1 if r.name in STRUCTURES else 0 for r in head.regions])
    majority = resampler.majority(head.index)
    mask = resampler.average(head.lookup([region.brain for region in head.regions])) > 0.5
    white = mask & np.array([r.tissue == "white_matter" for r in head.regions])[majority]
    seen = head.lookup([UNSUPPRESSED if region.tissue in FATTY else 1.0 for region in head.regions])
    series = dsc_signal(
        perfusion=perfusion, m0=resampler.average(fine.m0 * seen), r2star=tissue.r2star, grid=grid,
        settings=SETTINGS, sensitivity=smooth_coil(grid, coil).sensitivity, snr=snr, reference=white, rng=noise,
    )  # fmt: skip
    away = (perfusion.artery == 0) & (perfusion.vein == 0)
    labels = np.where(away, names[majority], 0).astype(np.int16)
    truth = {"rCBV": perfusion.cbv * np.float32(DENSITY), "rCBF": perfusion.cbf * np.float32(DENSITY)}
    return RawPerfusion(series, labels, mask, ndimage.binary_erosion(white) & away, truth)


def measured_perfusion(person: RawPerfusion, device: Device | str) -> dict[str, Array]:
    """Reconstruct a series; return the maps named in `METRICS`, in `UNITS`.

    The artery is chosen automatically, and the model with transit times of a common shape fitted. The
    series is not denoised: that would draw the transit times of small structures to those around them.
    """
    series = person.series
    result = reconstruct_dsc(
        series.signals[0], series.grid, echo_times=series.echo_times, repetition_time=series.repetition_time,
        mask=person.mask, leakage="none", relative_to=person.white, device=device,
    )  # fmt: skip
    white = perfusion_table()["white_matter"]
    scale = {"cbv": DENSITY * white.cbv, "cbf": DENSITY * 60.0 * white.cbv / white.mtt}
    return {
        f"r{name.upper()}": to_numpy(result.relative[name]) * np.float32(factor)
        for name, factor in scale.items()
    }
