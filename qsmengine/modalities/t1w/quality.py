"""Quality measures of a T1-weighted image."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.modalities.quality import Measure, Range
from qsmengine.modalities.t1w.run import AnatomyMaps

PURE = 0.95
"""Fraction from which a voxel counts as one tissue."""


def contrast_to_noise(result: AnatomyMaps) -> float | None:
    """Return the difference of white and grey matter over the standard deviation in white matter.

    Candidates for lesions are left out.
    """
    image = to_numpy(result["corrected"])
    screening = result.volumes.screening
    normal = np.ones(image.shape, bool) if screening is None else ~screening.mask
    grey, white = (image[(to_numpy(result[name]) > PURE) & normal] for name in ("gm", "wm"))
    if min(grey.size, white.size) < 100 or not white.std() > 0:
        return None
    return float((white.mean() - grey.mean()) / white.std())


def brain_volume(result: AnatomyMaps) -> float:
    """Return the volume of grey and white matter [mL]."""
    return result.volumes.brain / 1000


def unreliable(result: AnatomyMaps) -> float:
    """Return the number of structures that are not reliable."""
    return float(sum(1 for s in result.structures if s.problems and s.hemisphere == "left"))


def flair_refused(result: AnatomyMaps) -> float | None:
    """Return 1 if a FLAIR image was refused, 0 if it was screened; None without one."""
    if result.refused:
        return 1.0
    return None if result.volumes.screening is None else 0.0


MEASURES = (
    Measure(
        "contrast_to_noise",
        "contrast of white and grey matter",
        "1",
        "Mean of white minus mean of grey matter over the standard deviation in white matter",
        contrast_to_noise,
        Range(2.5),
        Range(1.5),
        "noise, motion, or an image that is not T1-weighted",
    ),
    Measure(
        "brain_volume",
        "volume of the brain",
        "mL",
        "Volume of grey and white matter",
        brain_volume,
        Range(850, 1700),
        Range(600, 2000),
        "a wrong brain mask",
    ),
    Measure(
        "unreliable_structures",
        "structures that are not reliable",
        "1",
        "Number of structures whose volume or symmetry is implausible",
        unreliable,
        Range(high=0),
        Range(high=2),
        "an unusual contrast, a lesion, or a failed segmentation: look at the labels",
    ),
    Measure(
        "flair_refused",
        "FLAIR images refused",
        "1",
        "1 if the FLAIR image was refused, 0 if it was screened; n/a without one",
        flair_refused,
        Range(high=0),
        Range(high=1),
        "an image of another contrast or another head; the notes say why",
    ),
)
"""Quality measures of anatomy."""
