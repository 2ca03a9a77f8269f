"""Nuclei of an atlas in a head: a template is warped to its T1-weighted image and susceptibility map.

The network's structures place the template: their centres give an affine matrix. SyN then finds the warp under
which three channels agree: the T1-weighted images; the structures that network and atlas share, drawn with
one value each; and the susceptibility map with the template's, which is drawn from the atlas itself (`CHI`), as
no template of susceptibility has a free licence. Images are compared by their mutual information, so that the
values of `CHI` need not be those of the head. Where network and atlas disagree about the shared
structures, the nuclei of that side are not reliable.

SyN: Avants et al. 2008, 10.1016/j.media.2007.06.004. Nuclei: Pauli et al. 2018, 10.1038/sdata.2018.63;
Najdenovska et al. 2018, 10.1038/sdata.2018.270.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.registration import Channel, find_warp
from qsmengine.ops.transforms import Transform, Volume, boxed_fractions, bring, most_of
from qsmengine.records import record

Labels: TypeAlias = npt.NDArray[np.integer]
Find: TypeAlias = Callable[[Sequence[Channel], Grid, Grid, FloatArray], Transform]
"""Function that finds a warp, see :func:`qsmengine.ops.registration.find_warp`."""
EDGE = 1.5
"""Voxel edge at which the warp is found [mm]."""
BLUR = 1.0
"""Standard deviation of the blur of drawn images [mm]."""
SURROUNDINGS = -0.030
"""Susceptibility around the nuclei, that of white matter [ppm]."""
SIDES = ("left", "right")


class Shared(NamedTuple):
    """Structure that network and atlas have: labels of the network and of the atlas, left and right."""

    name: str
    network: tuple[tuple[int, ...], tuple[int, ...]]
    atlas: str
    nuclei: tuple[tuple[int, ...], tuple[int, ...]]
    least: float
    """Least Dice overlap at which the nuclei of a side are reliable."""
    value: float
    """Value with which the structure is drawn [ppm]."""


CIT168, THALAMUS = "cit168", "thalamus-hcp"
SHARED = (
    Shared("thalamus", ((10,), (49,)), THALAMUS, (tuple(range(1, 8)), tuple(range(8, 15))), 0.65, 0.008),
    Shared("caudate", ((11, 26), (50, 58)), CIT168, ((2, 3), (102, 103)), 0.5, 0.048),
    Shared("putamen", ((12,), (51,)), CIT168, ((1,), (101,)), 0.65, 0.055),
    Shared("pallidum", ((13,), (52,)), CIT168, ((5, 6), (105, 106)), 0.5, 0.130),
)
"""The caudate is taken with the accumbens, as atlases divide the two differently."""
OF_NETWORK = frozenset({1, 2, 3, 101, 102, 103})
"""Labels of CIT168 that stay with the network: putamen, caudate, accumbens."""
CHI: Mapping[str, Mapping[int, float]] = {
    CIT168: {
        1: 0.055, 2: 0.048, 3: 0.035, 5: 0.130, 6: 0.130, 7: 0.100, 8: 0.080, 9: 0.100, 12: 0.080,
        16: 0.060,
    },
    THALAMUS: {1: 0.030, 2: 0.008, 3: 0.008, 4: 0.0, 5: 0.008, 6: 0.0, 7: 0.0},
}  # fmt: skip
"""Nominal susceptibility of the left nuclei [ppm], the same on the right; others are not drawn. Striatum and
pallidum as in the virtual heads; substantia nigra and subthalamic nucleus after Schäfer et al. 2012,
10.1002/hbm.21404 (7 T); red nucleus, ventral pallidum, and thalamic nuclei are rounded guesses between them."""
RIGHT = {CIT168: 100, THALAMUS: 7}
"""Difference between the labels of the right and of the left side."""


@record
class Template:
    """T1-weighted image of a template and atlases on its grid: name -> labels (x, y, z)."""

    image: Volume
    grid: Grid
    atlases: Mapping[str, Labels]


@record
class Head:
    """Images of a head in the scanner coordinates of its susceptibility map.

    Parameters
    ----------
    image, structures, grid
        Brain of the T1-weighted image and the network's labels (x, y, z), and their grid.
    to_image
        From points of the map's image to points of `image`.
    chi, chi_grid
        Susceptibility map [ppm], 0 outside its mask, and its grid.
    """

    image: Volume
    structures: Labels
    grid: Grid
    to_image: Transform
    chi: Volume
    chi_grid: Grid


@record
class PlacedAtlas:
    """Template in a head.

    Parameters
    ----------
    transform
        From points of the susceptibility map to points of the template.
    overlap
        Structure and side -> Dice overlap of network and atlas.
    """

    transform: Transform
    overlap: Mapping[tuple[str, str], float]

    def problem(self, side: str) -> str:
        """Return why the nuclei of a side are not reliable; "" if they are."""
        poor = [
            f"{one.name} {self.overlap[one.name, side]:.2f}, less than {one.least:g}"
            for one in SHARED
            if self.overlap[one.name, side] < one.least
        ]
        return f"atlas and network overlap too little ({'; '.join(poor)})" if poor else ""


def place_atlas(head: Head, template: Template, *, find: Find = find_warp) -> PlacedAtlas:
    """Warp a template to a head.

    Parameters
    ----------
    head
        Its images.
    template
        Image and atlases.
    find
        Function that finds the warp.

    Raises
    ------
    InputError
        If the network has not found a structure on a side, or the map is empty around them.
    DeviceError
        If the registration library is missing.
    """
    start = starting_matrix(head, template)
    grid = working_grid(start, template.grid)
    image = bring(_blurred(head.image, head.grid, EDGE / 2), head.grid, grid, head.to_image)
    drawn = _drawn_structures(head, grid)
    chi = bring(_blurred(head.chi, head.chi_grid, EDGE / 2), head.chi_grid, grid, Transform(np.eye(4)))
    if not chi.any():
        raise InputError("is 0 everywhere around the deep grey matter", source="susceptibility map")
    channels = (
        Channel(image, template.image, 1.0),
        Channel(drawn, _drawn(template, _shared_values()), 1.0),
        Channel(chi, _drawn(template, _nominal_values()), 1.0),
    )
    transform = find(channels, grid, template.grid, start)
    return PlacedAtlas(transform, _overlaps(head, template, transform, grid))


def nuclei(atlas: str, labels: Labels) -> tuple[int, ...]:
    """Return the labels of an atlas whose structures the network does not have, in ascending order."""
    left_out = OF_NETWORK if atlas == CIT168 else frozenset()
    return tuple(int(n) for n in np.unique(labels) if n > 0 and int(n) not in left_out)


def side_of(atlas: str, label: int) -> str:
    """Return the side of a label of an atlas."""
    return SIDES[int(label > RIGHT[atlas])]


def starting_matrix(head: Head, template: Template) -> FloatArray:
    """Return the matrix (4, 4) [mm] that takes the centres of the head's structures best to the template's.

    Raises
    ------
    InputError
        If the network has not found a structure on a side.
    """
    ours, theirs = [], []
    for one, side in itertools.product(SHARED, (0, 1)):
        found = np.isin(head.structures, one.network[side])
        if not found.any():
            raise InputError(f"the network found no {SIDES[side]} {one.name}", source="deep grey matter")
        ours.append(head.to_image.back(_centre(found, head.grid)))
        theirs.append(_centre(np.isin(template.atlases[one.atlas], one.nuclei[side]), template.grid))
    points = np.column_stack([np.array(ours), np.ones(len(ours))])
    matrix = np.eye(4)
    matrix[:3] = np.linalg.lstsq(points, np.array(theirs), rcond=None)[0].T
    return matrix


def working_grid(matrix: FloatArray, grid: Grid) -> Grid:
    """Return the grid in a head, along the axes of a template, that covers the template's `grid`."""
    back = np.linalg.inv(matrix)
    left, _, right = np.linalg.svd(back[:3, :3])
    axes = left @ right
    corners = np.array(list(itertools.product(*((0.0, n - 1.0) for n in grid.shape))))
    points = (corners @ grid.affine[:3, :3].T + grid.affine[:3, 3]) @ back[:3, :3].T + back[:3, 3]
    along = points @ axes
    low = along.min(axis=0)
    x, y, z = (int(n) + 1 for n in np.ceil((along.max(axis=0) - low) / EDGE))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes * EDGE, axes @ low
    return Grid((x, y, z), affine, grid.field_strength)


def _centre(mask: npt.NDArray[np.bool_], grid: Grid) -> FloatArray:
    voxel = np.argwhere(mask).mean(axis=0)
    return np.asarray(voxel @ grid.affine[:3, :3].T + grid.affine[:3, 3], dtype=np.float64)


def _blurred(image: Volume, grid: Grid, width: float) -> Volume:
    """Return an image blurred by a Gaussian of standard deviation `width` [mm]."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(image, [width / edge for edge in grid.voxel_edges]), dtype=np.float32)


def _drawn_structures(head: Head, grid: Grid) -> Volume:
    """Return the network's shared structures on `grid`, drawn with one value each."""
    drawn = np.zeros(head.structures.shape, np.float32)
    for one in SHARED:
        drawn[np.isin(head.structures, [*one.network[0], *one.network[1]])] = one.value - SURROUNDINGS
    return bring(_blurred(drawn, head.grid, BLUR), head.grid, grid, head.to_image)


def _shared_values() -> dict[str, dict[int, float]]:
    values: dict[str, dict[int, float]] = {CIT168: {}, THALAMUS: {}}
    for one in SHARED:
        values[one.atlas] |= dict.fromkeys([*one.nuclei[0], *one.nuclei[1]], one.value)
    return values


def _nominal_values() -> dict[str, dict[int, float]]:
    return {
        name: {label + shift: chi for label, chi in values.items() for shift in (0, RIGHT[name])}
        for name, values in CHI.items()
    }


def _drawn(template: Template, values: Mapping[str, Mapping[int, float]]) -> Volume:
    """Return labels of the template drawn with these values; CIT168 has precedence over the thalamic nuclei."""
    drawn = np.zeros(template.image.shape, np.float32)
    for name in (THALAMUS, CIT168):
        for label, value in values[name].items():
            drawn[template.atlases[name] == label] = value - SURROUNDINGS
    return _blurred(drawn, template.grid, BLUR)


def _overlaps(head: Head, template: Template, transform: Transform, grid: Grid) -> dict[tuple[str, str], float]:
    """Return the Dice overlap of network and atlas for each shared structure and side, on `grid`."""
    ours = _resampled(head.structures, head.grid, grid, head.to_image)
    theirs = {
        name: _resampled(_joined(name, labels), template.grid, grid, transform)
        for name, labels in template.atlases.items()
    }
    found = {}
    for one, (side, where) in itertools.product(SHARED, enumerate(SIDES)):
        mine = np.isin(ours, one.network[side])
        other = theirs[one.atlas] == one.nuclei[side][0]
        found[one.name, where] = 2 * float((mine & other).sum()) / max(float(mine.sum() + other.sum()), 1.0)
    return found


def _joined(atlas: str, labels: Labels) -> Labels:
    """Return the shared structures of an atlas, each with the first of its labels."""
    joined = np.zeros(labels.shape, np.int32)
    for one, side in itertools.product(SHARED, (0, 1)):
        if one.atlas == atlas:
            joined[np.isin(labels, one.nuclei[side])] = one.nuclei[side][0]
    return joined


def _resampled(labels: Labels, grid: Grid, target: Grid, transform: Transform) -> Labels:
    """Return the label that covers most of each voxel of `target`."""
    numbers = [int(n) for n in np.unique(labels) if n > 0]
    fractions, box = boxed_fractions(labels, grid, target, transform, numbers)
    found = np.zeros(target.shape, np.int32)
    found[box] = most_of(fractions, numbers)
    return found
