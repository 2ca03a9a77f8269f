"""Virtual cohort of thalamic susceptibility maps with the published pattern.

The paper has 40 patients each with CIS, RRMS and SPMS, and 40 controls matched for age and sex per group.
Susceptibility is lower than in controls in RRMS (thalamus without pulvinar) and in SPMS (mainly the pulvinar),
not in CIS, and falls with disease duration in the pulvinar, the left lateral nuclear region and the whole
thalamus. The paper gives the presence and absence of effects; their sizes, the variation between participants,
ages and durations are assumed (`Pattern`, `GROUPS`). Nuclei are those of the atlas "thalamus-hcp".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy import ndimage

from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.io.nifti import read_image
from qsmengine.stats.labels.tables import atlas_image, load_label_table

PULVINAR = ("thalamus_pulvinar",)
LATERAL = (
    "thalamus_ventral_latero_dorsal",
    "thalamus_ventral_latero_ventral",
    "thalamus_ventral_anterior",
)
SIZE = 40
STEP = 2
"""Sampling of the atlas (1 mm): every second voxel."""


@dataclass(frozen=True)
class Group:
    """Patients with one course: mean and SD of age [years] and disease duration [years], share of women."""

    age: tuple[float, float]
    duration: tuple[float, float]
    women: float


GROUPS = {
    "CIS": Group((35.0, 9.0), (1.5, 1.0), 0.7),
    "RRMS": Group((44.0, 10.0), (12.0, 7.0), 0.7),
    "SPMS": Group((54.0, 8.0), (21.0, 9.0), 0.7),
}


@dataclass(frozen=True)
class Pattern:
    """Assumed effect sizes [ppb], [ppb/year].

    Parameters
    ----------
    rrms, spms
        Difference from controls outside the pulvinar in RRMS, and in the pulvinar in SPMS.
    pulvinar_slope, left_lateral_slope, slope
        Slope over disease duration, relative to the mean of the group, in the pulvinar, the left lateral region
        and elsewhere.
    between
        SD between participants of the mean of the whole thalamus, and additionally of each nucleus.
    noise
        SD between participants of a smooth field, and SD of its Gaussian kernel [mm].
    """

    rrms: float = -12.0
    spms: float = -18.0
    pulvinar_slope: float = -0.9
    left_lateral_slope: float = -0.7
    slope: float = -0.25
    between: tuple[float, float] = (6.0, 5.0)
    noise: tuple[float, float] = (12.0, 3.0)


@dataclass(frozen=True)
class Thalamus:
    """Label image of the nuclei on its grid; `parts` maps (nucleus, hemisphere) to labels."""

    labels: Array
    grid: Grid
    parts: dict[tuple[str, str], int]

    @property
    def inside(self) -> Array:
        """Voxels of the thalamus."""
        return self.labels > 0

    def region(self, nuclei: tuple[str, ...], hemisphere: str | None = None) -> Array:
        """Return which of the voxels inside belong to some nuclei, of one side or both."""
        wanted = [i for (n, h), i in self.parts.items() if n in nuclei and hemisphere in {None, h}]
        return np.isin(self.labels[self.inside], wanted)


@cache
def thalamus() -> Thalamus:
    """Return the bundled atlas, cropped and sampled at every `STEP`-th voxel."""
    array, grid, _ = read_image(atlas_image("thalamus-hcp"), dtype=np.int32)
    found = np.argwhere(array > 0)
    low, high = found.min(axis=0) - 2 * STEP, found.max(axis=0) + 2 * STEP + 1
    box = tuple(slice(int(a), int(b), STEP) for a, b in zip(low, high, strict=True))
    labels = np.ascontiguousarray(array[box])
    table = load_label_table("thalamus-hcp")
    parts = {(label.name, label.hemisphere): label.index for label in table.labels}
    return Thalamus(labels, grid.part(box), parts)


def draw_group(
    name: str, rng: np.random.Generator, pattern: Pattern | None = None
) -> tuple[pd.DataFrame, Array]:
    """Draw the patients with a course and their controls.

    Returns
    -------
    tuple
        Participants (course, patient 1 or 0, age, woman 1 or 0, duration; 0 for controls) and their maps
        (participant, voxel of the thalamus) [ppb].
    """
    made = Pattern() if pattern is None else pattern
    group, place = GROUPS[name], thalamus()
    age = np.clip(rng.normal(*group.age, SIZE), 18.0, 80.0)
    woman = (rng.random(SIZE) < group.women).astype(float)
    duration = rng.gamma((group.duration[0] / group.duration[1]) ** 2, 1.0, SIZE)
    duration *= group.duration[1] ** 2 / group.duration[0]
    people = pd.DataFrame(
        {
            "course": name,
            "patient": np.repeat([1.0, 0.0], SIZE),
            "age": np.concatenate([age, np.clip(age + rng.normal(0.0, 2.0, SIZE), 18.0, 80.0)]),
            "woman": np.concatenate([woman, woman]),
            "duration": np.concatenate([duration, np.zeros(SIZE)]),
        }
    )
    maps = np.stack([_person(rng, made, place) for _ in range(2 * SIZE)])
    maps += 0.05 * (people["age"].to_numpy()[:, None] - 45.0)
    shift, slope = _effect(name, made, place)
    maps[:SIZE] += shift + slope * (duration[:, None] - group.duration[0])
    return people, maps.astype(np.float32)


def _person(rng: np.random.Generator, pattern: Pattern, place: Thalamus) -> Array:
    """Draw the map of a participant: levels of thalamus and nuclei plus a smooth field."""
    field = ndimage.gaussian_filter(rng.standard_normal(place.labels.shape), pattern.noise[1] / STEP)
    field *= pattern.noise[0] / field[place.inside].std()
    levels = rng.normal(0.0, pattern.between[1], len(place.parts) + 1)
    values: Array = field[place.inside] + levels[place.labels[place.inside]]
    return values + rng.normal(0.0, pattern.between[0])


def _effect(name: str, pattern: Pattern, place: Thalamus) -> tuple[Array, Array]:
    """Return the difference from controls and the slope over duration in every voxel."""
    pulvinar, lateral = place.region(PULVINAR), place.region(LATERAL, "left")
    shift = np.zeros(pulvinar.size)
    if name == "RRMS":
        shift[~pulvinar] = pattern.rrms
    elif name == "SPMS":
        shift[pulvinar] = pattern.spms
    slope = np.full(pulvinar.size, pattern.slope)
    slope[pulvinar], slope[lateral] = pattern.pulvinar_slope, pattern.left_lateral_slope
    return shift, slope
