"""Quality measures of maps from several flip angles."""

from __future__ import annotations

from qsmengine.modalities.quality import Measure, Range
from qsmengine.modalities.rates import VOLUME, implausible, median, relative_noise

MEASURES = (
    Measure(
        "r1_noise",
        "noise of R1",
        "%",
        "Median standard deviation of R1 in the brain, relative to R1",
        relative_noise("r1", "r1_sd"),
        Range(high=10),
        Range(high=25),
        "low signal, or flip angles that suit the tissue badly",
    ),
    Measure(
        "r1_median",
        "R1 of the brain",
        "1/s",
        "Median R1 in the brain; about 0.8 at 3 T without fluid",
        median("r1"),
        Range(0.4, 1.4),
        Range(0.2, 2.5),
        "wrong flip angles, repetition times or B1",
    ),
    Measure(
        "r1_implausible",
        "voxels without plausible R1",
        "%",
        "Share of brain voxels whose R1 is unknown or not between 0.12 and 5 1/s",
        implausible("r1", 0.12, 5.0),
        Range(high=5),
        Range(high=15),
        "motion between the flip angles, wrong B1, or a mask that includes air",
    ),
    Measure(
        "b1_median",
        "B1 of the brain",
        "1",
        "Median ratio of the actual to the nominal flip angle in the brain",
        median("b1"),
        Range(0.8, 1.2),
        Range(0.6, 1.4),
        "a B1 map of another scan or unit",
    ),
    Measure("r2star_median", "R2* of the brain", "1/s", "Median R2* in the brain", median("r2star")),
    VOLUME,
)
"""Quality measures of R1 and what belongs to it."""
