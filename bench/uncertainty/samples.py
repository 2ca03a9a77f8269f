"""Voxels of reconstructed heads: error of chi, causes of error, layer, and label."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.accuracy.heads import load, make_case
from bench.uncertainty.jobs import Job
from qsmengine.backend.device import Device, to_numpy
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.uncertainty.causes import NAMES, error_causes

Floats = npt.NDArray[np.float64]
OUTER = 4
"""Layers that a third of the voxels of a fit are drawn from."""


@dataclass(frozen=True)
class Sample:
    """Voxels of one head.

    Parameters
    ----------
    job
        Preset and head.
    error
        (voxels,) chi minus truth, both demeaned in the mask [ppm].
    causes
        (voxels, causes) in the order of NAMES [ppm].
    layer
        (voxels,) 1 at the rim of the mask.
    label
        (voxels,) structure.
    """

    job: Job
    error: Floats
    causes: Floats
    layer: npt.NDArray[np.int32]
    label: npt.NDArray[np.int32]

    def part(self, chosen: npt.NDArray[Any]) -> Sample:
        """Some of the voxels: their numbers, or a mask."""
        arrays = {f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name != "job"}
        return replace(self, **arrays)

    def drawn(self, count: int) -> Sample:
        """`count` voxels of the mask and half as many of its outer layers, drawn with the head's number."""
        rng = np.random.default_rng(self.job.subject)
        everywhere, outer = np.arange(len(self.error)), np.flatnonzero(self.layer <= OUTER)
        picks = [
            rng.choice(pool, min(number, len(pool)), replace=False)
            for pool, number in ((everywhere, count), (outer, count // 2))
        ]
        return self.part(np.concatenate(picks))


def sample_of(job: Job, folder: Path, device: Device) -> Sample:
    """Reconstruct a head, which is made first if the folder lacks it."""
    case = load(make_case(folder, job.scenario, job.subject))
    result = run_qsm(case.series, load_config(preset=job.preset), device, mask=case.given)
    inside = device.asarray(result["local_mask"], bool)
    causes = error_causes(
        result["chi"], result["total_field"], result["noise"], inside,
        device.asarray(case.series.magnitude), case.grid, device,
    )  # fmt: skip
    where = case.scored & to_numpy(inside)
    chi, truth = (image[where].astype(np.float64) for image in (to_numpy(result["chi"]), case.truth["chi"]))
    return Sample(
        job, (chi - chi.mean()) - (truth - truth.mean()),
        np.stack([to_numpy(causes[name])[where].astype(np.float64) for name in NAMES], axis=1),
        case.layer[where], case.labels[where].astype(np.int32),
    )  # fmt: skip
