"""Evidence and measures that the relaxation rates of several modalities share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array
from qsmengine.modalities.quality import brain_volume
from qsmengine.ops import order_statistics
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record


@record
class RateEvidence:
    """Result of a run with a brain mask."""

    result: RunResult

    @cached_property
    def _maps(self) -> Mapping[str, Array]:
        return self.result.within_mask()

    @cached_property
    def _brain(self) -> npt.NDArray[np.bool_]:
        return np.asarray(to_numpy(self._maps["brain_mask"]), np.bool_)

    @property
    def voxels(self) -> int:
        """Number of voxels of the brain."""
        return int(np.count_nonzero(self._brain))

    def inside(self, name: str) -> npt.NDArray[np.float32] | None:
        """Return a map (voxel,) in the brain, None if the run did not make it."""
        if name not in self.result.maps:
            return None
        return np.asarray(to_numpy(self._maps[name])[self._brain], np.float32)


Value = Callable[[RateEvidence], float | None]


def median(name: str) -> Value:
    """Return the measure of the median of a map where it is positive."""

    def found(evidence: RateEvidence) -> float | None:
        values = evidence.inside(name)
        known = None if values is None else values[values > 0]
        return None if known is None or not known.size else order_statistics.median(known, overwrite=True)

    return found


def relative_noise(rate: str, deviation: str) -> Value:
    """Return the measure of the median standard deviation of a rate [% of it]."""

    def found(evidence: RateEvidence) -> float | None:
        values, spread = evidence.inside(rate), evidence.inside(deviation)
        if values is None or spread is None or not (values > 0).any():
            return None
        known = values > 0
        return 100.0 * order_statistics.median(spread[known] / values[known], overwrite=True)

    return found


def implausible(name: str, low: float, high: float) -> Value:
    """Return the measure of the share [%] of brain voxels whose rate is unknown or not between limits."""

    def found(evidence: RateEvidence) -> float | None:
        values = evidence.inside(name)
        if values is None or not values.size:
            return None
        return 100.0 * float(np.mean((values <= low) | (values >= high)))

    return found


def mask_volume(evidence: RateEvidence) -> float:
    """Return the volume [mL] of the brain mask."""
    voxel = float(np.prod(evidence.result.grid.voxel_size)) / 1000.0
    return evidence.voxels * voxel


VOLUME = brain_volume(mask_volume)
