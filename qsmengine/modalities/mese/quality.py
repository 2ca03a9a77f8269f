"""Quality measures of maps from spin echoes."""

from __future__ import annotations

from qsmengine.modalities.quality import Measure, Range
from qsmengine.modalities.rates import VOLUME, RateEvidence, implausible, median, relative_noise


def clipped(evidence: RateEvidence) -> float | None:
    """Return the share [%] of voxels in which R2* is below R2; None without a map of R2*."""
    share = evidence.result.facts.get("clipped")
    return None if share is None else 100.0 * float(share)


MEASURES = (
    Measure(
        "r2_noise",
        "noise of R2",
        "%",
        "Median standard deviation of R2 in the brain, relative to R2",
        relative_noise("r2", "r2_sd"),
        Range(high=10),
        Range(high=25),
        "low signal, or echoes that the model does not describe",
    ),
    Measure(
        "r2_median",
        "R2 of the brain",
        "1/s",
        "Median R2 in the brain; about 12 at 3 T without fluid",
        median("r2"),
        Range(7, 20),
        Range(4, 35),
        "wrong echo times",
    ),
    Measure(
        "r2_implausible",
        "voxels without plausible R2",
        "%",
        "Share of brain voxels whose R2 is unknown or not between 0.5 and 100 1/s",
        implausible("r2", 0.5, 100.0),
        Range(high=5),
        Range(high=15),
        "motion, or a mask that includes air",
    ),
    Measure(
        "r2prime_clipped",
        "voxels with R2* below R2",
        "%",
        "Share of voxels in which R2* is below R2, so that R2' is 0",
        clipped,
        Range(high=10),
        Range(high=30),
        "noise, R2* and R2 of different slices, or motion between the scans",
    ),
    Measure(
        "refocusing_median",
        "B1 of the refocusing pulses",
        "1",
        "Median ratio of the actual to the nominal refocusing angle in the brain",
        median("refocusing_b1"),
    ),
    VOLUME,
)
"""Quality measures of R2 and what belongs to it."""
