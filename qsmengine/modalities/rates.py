"""Evidence and measures that the relaxation rates of several modalities share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import to_numpy
from qsmengine.modalities.quality import Measure
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record


@record
class RateEvidence:
    """Result of a run with a brain mask."""

    result: RunResult

    @cached_property
    def brain(self) -> npt.NDArray[np.bool_]:
        """Mask (z, y, x), in the memory order of image files."""
        return np.ascontiguousarray(to_numpy(self.result["brain_mask"]).T > 0)

    def inside(self, name: str) -> npt.NDArray[np.float32] | None:
        """Return a map (voxel,) in the brain, None if the run did not make it."""
        if name not in self.result.maps:
            return None
        if name not in self._seen:
            found = self.result.compact(name)
            array = np.ascontiguousarray(to_numpy(found.array).T, dtype=np.float32)
            self._seen[name] = array[self.brain[found.part[::-1]]]
        return self._seen[name]

    @cached_property
    def _seen(self) -> dict[str, npt.NDArray[np.float32]]:
        return {}


Value = Callable[[RateEvidence], float | None]


def median(name: str) -> Value:
    """Return the measure of the median of a map where it is positive."""

    def found(evidence: RateEvidence) -> float | None:
        values = evidence.inside(name)
        known = None if values is None else values[values > 0]
        return None if known is None or not known.size else float(np.median(known))

    return found


def relative_noise(rate: str, deviation: str) -> Value:
    """Return the measure of the median standard deviation of a rate [% of it]."""

    def found(evidence: RateEvidence) -> float | None:
        values, spread = evidence.inside(rate), evidence.inside(deviation)
        if values is None or spread is None or not (values > 0).any():
            return None
        known = values > 0
        return 100.0 * float(np.median(spread[known] / values[known]))

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
    return float(np.count_nonzero(to_numpy(evidence.result["brain_mask"]))) * voxel


VOLUME = Measure("mask_volume", "volume of the mask", "mL", "Volume of the brain mask", mask_volume)
