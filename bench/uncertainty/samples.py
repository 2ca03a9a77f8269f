"""Voxels of reconstructed heads: error of chi, causes of error, layer, and label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
LEAST_REGION = 20
"""Smallest structure whose mean is judged [voxels]."""
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
    voxel_volume
        [mm^3].
    """

    job: Job
    error: Floats
    causes: Floats
    layer: npt.NDArray[np.int32]
    label: npt.NDArray[np.int32]
    voxel_volume: float

    def part(self, chosen: npt.NDArray[Any]) -> Sample:
        """Some of the voxels: their numbers, or a mask."""
        return replace(
            self,
            error=self.error[chosen],
            causes=self.causes[chosen],
            layer=self.layer[chosen],
            label=self.label[chosen],
        )

    def drawn(self, count: int) -> Sample:
        """`count` voxels of the mask and half as many of its outer layers, drawn with the head's number."""
        rng = np.random.default_rng(self.job.subject)
        everywhere, outer = np.arange(len(self.error)), np.flatnonzero(self.layer <= OUTER)
        picks = [
            rng.choice(pool, min(number, len(pool)), replace=False)
            for pool, number in ((everywhere, count), (outer, count // 2))
        ]
        return self.part(np.concatenate(picks))


def regions_of(sample: Sample, labels: Sequence[int] | None = None) -> list[Sample]:
    """The voxels of every structure, or of those with `labels`, that has at least LEAST_REGION voxels."""
    chosen = np.unique(sample.label) if labels is None else labels
    found = [sample.label == label for label in chosen]
    return [sample.part(here) for here in found if here.sum() >= LEAST_REGION]


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
        case.layer[where], case.labels[where].astype(np.int32), case.grid.voxel_volume,
    )  # fmt: skip
