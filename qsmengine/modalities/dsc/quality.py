"""Quality measures of a bolus series."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import array_module, to_numpy
from qsmengine.data import DscSeries
from qsmengine.modalities.dsc.motion import Motion
from qsmengine.modalities.dsc.run import PerfusionMaps
from qsmengine.modalities.quality import Measure, Range, brain_volume
from qsmengine.modalities.shifts import largest_translation
from qsmengine.ops.order_statistics import median, medians
from qsmengine.stages.perfusion.quality import LARGEST_SHARE, LEAST_PEAK_TO_NOISE, WIDEST

SAMPLES = 20_000
"""Number of voxels, within a factor of two, from which bolus and noise are measured."""
NORMAL = 1.4826
"""Standard deviation of normal values over their median absolute deviation."""


@dataclass(frozen=True)
class DscEvidence:
    """Result of a run, its series, and the motion that was corrected before (None: not corrected)."""

    result: PerfusionMaps
    series: DscSeries
    motion: Motion | None = None

    @cached_property
    def curves(self) -> npt.NDArray[np.float64]:
        """Change of R2* (voxel, frame) [1/s] of voxels sampled in the brain."""
        voxels = np.argwhere(to_numpy(self.result["brain_mask"]) > 0)
        voxels = voxels[:: max(1, len(voxels) // SAMPLES)]
        curves = self.result["dr2star"]
        xp = array_module(curves)
        return to_numpy(curves[tuple(xp.asarray(axis) for axis in voxels.T)]).astype(np.float64)

    @property
    def baseline(self) -> slice:
        """Frames in the steady state before the bolus."""
        step = self.series.repetition_time
        first, end = (round(float(self.result.facts[name]) / step) for name in ("steady", "arrival"))
        return slice(first, max(end - 1, first + 1))


def after_bolus(evidence: DscEvidence) -> float:
    """Return the time [s] from the peak of the brain's mean curve to the last frame."""
    mean = evidence.curves.mean(axis=0)
    return float((mean.size - 1 - int(mean.argmax())) * evidence.series.repetition_time)


def bolus_to_noise(evidence: DscEvidence) -> float | None:
    """Return the peak of the brain's mean curve over the median noise of a voxel's curve."""
    before = evidence.curves[:, evidence.baseline]
    if before.shape[1] < 2:
        return None
    middle = medians(before, axis=1)[:, np.newaxis]
    noise = NORMAL * median(medians(np.abs(before - middle), axis=1))
    return float(evidence.curves.mean(axis=0).max()) / noise if noise > 0 else None


def translation(evidence: DscEvidence) -> float | None:
    """Return the largest translation [mm] of a frame after the first from the median image."""
    signal, size = evidence.series.signals[0], evidence.series.grid.voxel_size
    return largest_translation(signal, size, [np.arange(evidence.baseline.start, signal.shape[3])])


def displacement(evidence: DscEvidence) -> float | None:
    """Return the largest framewise displacement [mm] that the motion correction found."""
    return None if evidence.motion is None else float(evidence.motion.displacement.max())


def _artery(name: str) -> Any:
    """Return a function of the evidence: a figure of the arterial curve; 0 noise leaves it undecided."""

    def found(evidence: DscEvidence) -> float | None:
        value = float(getattr(evidence.result.aif_quality, name))
        return None if name == "peak_to_noise" and value == 0 else value

    return found


def flow_range(evidence: DscEvidence) -> float | None:
    """Return the ratio of the largest to the smallest mean flow of shapes of the residue function that fit."""
    facts = evidence.result.facts
    lowest = float(facts.get("flow_lowest", 0.0))
    return float(facts["flow_highest"]) / lowest if lowest > 0 else None


def volume(evidence: DscEvidence) -> float:
    """Return the volume [mL] of the brain mask."""
    voxel = float(np.prod(evidence.series.grid.voxel_size)) / 1000.0
    return float(np.count_nonzero(to_numpy(evidence.result["brain_mask"]))) * voxel


MEASURES = (
    Measure(
        "bolus_to_noise",
        "bolus",
        "1",
        "Peak of the brain's mean change of R2* over the median noise of a voxel before the bolus",
        bolus_to_noise,
        Range(4),
        Range(2),
        "a weak or missing bolus, or low signal",
    ),
    Measure(
        "after_bolus",
        "time after the bolus",
        "s",
        "Time from the peak of the brain's mean change of R2* to the end of the series",
        after_bolus,
        Range(20),
        Range(12),
        "the series ends during the passage: blood volume and flow are wrong",
    ),
    Measure(
        "aif_peak_to_noise",
        "peak of the artery",
        "1",
        "Peak of the arterial curve over its noise",
        _artery("peak_to_noise"),
        Range(2 * LEAST_PEAK_TO_NOISE),
        Range(LEAST_PEAK_TO_NOISE),
        "a noisy arterial curve",
    ),
    Measure(
        "aif_width",
        "width of the artery's curve",
        "s",
        "Width of the arterial curve at half its height",
        _artery("width"),
        Range(high=WIDEST),
        Range(high=1.5 * WIDEST),
        "a slow injection, or voxels outside an artery",
    ),
    Measure(
        "aif_lead",
        "lead of the artery",
        "s",
        "First moment of the brain's mean curve minus that of the arterial curve",
        _artery("lead"),
        Range(0),
        None,
        "the curve is not arterial: it passes later than the brain's",
    ),
    Measure(
        "aif_brain_share",
        "brain over artery",
        "1",
        "Area of the brain's mean curve over that of the arterial curve; about 0.05 in healthy people",
        _artery("brain_share"),
        Range(high=LARGEST_SHARE),
        Range(high=2 * LARGEST_SHARE),
        "the arterial voxels lie partly in tissue: blood volume and flow are too large",
    ),
    Measure(
        "aif_voxels", "voxels of the artery", "1", "Number of voxels; 0 for a given curve", _artery("voxels")
    ),
    Measure(
        "flow_range",
        "range of the flow",
        "1",
        "Largest over smallest mean blood flow among residue functions that fit as well as the one used",
        flow_range,
        Range(high=1.5),
        Range(high=2.5),
        "the series leaves the shape of the residue function open: use flows relative to a region",
    ),
    Measure(
        "translation",
        "motion",
        "mm",
        "Largest translation of a frame in the steady state from the median image, by phase correlation, after "
        "motion correction if there is one",
        translation,
        Range(high=1),
        Range(high=3),
        "motion; qsmengine dsc --motion registers the frames",
    ),
    Measure(
        "displacement",
        "corrected motion",
        "mm",
        "Largest framewise displacement that the motion correction found",
        displacement,
    ),
    brain_volume(volume),
)
"""Quality measures of perfusion maps."""
