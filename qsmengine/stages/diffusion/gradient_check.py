"""Check of the gradient table against the image, by the coherence of neighbouring fibre directions.

Rotating every gradient by an orthogonal P rotates every fitted tensor by P, so one fit serves all candidates.
The coherence of a candidate is the mean of FA_i FA_j (v_i . u)^4 (v_j . u)^4 over pairs of neighbours i, j
(of 26) with anisotropy above a threshold, where u is the direction from i to j and v are the rotated principal
directions. It is largest if fibres point at voxels whose fibres point back.
Candidates are the six permutations of the axes with one axis, or none, flipped. The sign of a direction does
not matter, so these are all. The sum is a form of fourth order in each v, so a few 15 x 15 matrices contain all
the information about the image.

For images with many anisotropic voxels the pairs of samples of `SAMPLES` voxels are evaluated first. Steps of
about the golden ratio of all voxels, around the end to the start, choose them: any part of that sequence is
spread over the image without the regularity of a grid. The standard error of the ratio of two coherences is
that of the jackknife over `GROUPS` parts of the sample, times sqrt(1 - sampled / all). If the largest ratio is
within `CONFIDENCE` standard errors of `MARGIN`, the next sample is evaluated, and in the end all pairs. A
candidate is therefore put on the wrong side of the margin with a probability below 0.005 (Student's t with
`GROUPS` - 1 degrees of freedom). Smaller samples than the last only clear a table: a doubt needs the last one
or all pairs.

The measure follows the fibre coherence of Schilling et al. 2019, 10.1016/j.mri.2019.01.018; the candidates are
those of MRtrix3's dwigradcheck (Jeurissen et al. 2014, 10.1016/j.media.2014.05.012, which counts the length of
streamlines instead).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement, permutations, product
from math import factorial
from operator import mul
from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import array_module, to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid
from qsmengine.ops.morphology import without_layer

MIN_PAIRS = 500
"""Number of pairs of neighbours needed for a conclusion."""
MARGIN = 1.05
"""Ratio of coherences, candidate over given table, from which the candidate is trusted."""
DISTINCT = 1.1
"""Ratio of coherences, best over median candidate, from which the image decides between tables.

Real heads reach 1.14 to 1.5. Fibres that do not continue between voxels (thick voxels, noise, virtual heads)
reach 1.06.
"""
SAMPLES = (8192, 32768)
"""Sizes of the samples of voxels whose neighbours are evaluated, one after the other; multiples of `GROUPS`."""
GROUPS = 16
"""Number of parts of the sample that the jackknife omits in turn."""
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
"""Length of a sample's step over the number of voxels."""
CONFIDENCE = 3.0
"""Standard errors between a sampled ratio and the margin from which the sample is sufficient."""

_QUARTIC = tuple(combinations_with_replacement(range(3), 4))
_PAIRS = tuple(combinations_with_replacement(range(3), 2))
_MULTIPLICITY = np.array(
    [factorial(4) / np.prod([factorial(term.count(axis)) for axis in range(3)]) for term in _QUARTIC]
)


class Candidate(NamedTuple):
    """Change of a table: the new components (x, y, z) are the old ones in `order`, then `flip` is negated."""

    order: tuple[int, int, int]
    flip: int | None

    @property
    def matrix(self) -> FloatArray:
        """Return P with changed = P @ given."""
        matrix = np.eye(3)[list(self.order)]
        if self.flip is not None:
            matrix[self.flip] *= -1.0
        return matrix

    def __str__(self) -> str:
        changes = []
        if self.order != (0, 1, 2):
            changes.append("rows in the order " + " ".join("xyz"[axis] for axis in self.order))
        if self.flip is not None:
            changes.append(f"{'xyz'[self.flip]} negated")
        return ", then ".join(changes) or "as given"


class GradientCheck(NamedTuple):
    """Coherence of each candidate [1], best first, and the evidence for it."""

    coherence: dict[Candidate, float]
    pairs: int
    """Number of compared pairs of neighbours."""
    error: float
    """Standard error, from sampling, of the best changed table's ratio [1]; 0 if every pair was compared."""

    @property
    def best(self) -> Candidate:
        """Return the candidate with the largest coherence."""
        return next(iter(self.coherence))

    @property
    def ratio(self) -> float:
        """Return the coherence of the best candidate over that of the given table."""
        return self.coherence[self.best] / max(self.coherence[AS_GIVEN], 1e-300)

    @property
    def decidable(self) -> bool:
        """Return True if the image has enough pairs of fibres, and one table stands out from the others."""
        values = sorted(self.coherence.values())
        distinct = values[-1] > DISTINCT * values[len(values) // 2]
        return self.pairs >= MIN_PAIRS and distinct

    @property
    def doubtful(self) -> bool:
        """Return True if another table fits the image clearly better than the given one."""
        return self.decidable and self.best != AS_GIVEN and self.ratio > MARGIN


AS_GIVEN = Candidate((0, 1, 2), None)
CANDIDATES = tuple(
    Candidate((order[0], order[1], order[2]), flip)
    for order, flip in product(permutations(range(3)), (None, 0, 1, 2))
)
_GIVEN = CANDIDATES.index(AS_GIVEN)
_OFFSETS = tuple(offset for offset in product((-1, 0, 1), repeat=3) if offset > (0, 0, 0))
"""One of each pair of opposite neighbours."""


def check_gradients(
    v1: Array, fa: Array, grid: Grid, *, mask: Array | None = None, min_fa: float = 0.3
) -> GradientCheck:
    """Return the coherence of the principal directions under every flip and permutation of the gradient table.

    Parameters
    ----------
    v1
        (x, y, z, 3) principal directions of the tensor in FSL's frame.
    fa
        (x, y, z) fractional anisotropy [1].
    grid
        Geometry: voxel size and handedness.
    mask
        (x, y, z); other voxels are excluded, as is its outermost layer, where fits follow the rim.
    min_fa
        Voxels with a lower FA are excluded, as are those above 1 (noise).

    Raises
    ------
    InputError
        For arrays that do not match the grid.
    """
    if tuple(v1.shape) != (*grid.shape, 3) or tuple(fa.shape) != grid.shape:
        raise InputError(
            f"v1 {tuple(v1.shape)} and fa {tuple(fa.shape)} do not fit {grid.shape}", field="shape"
        )
    xp = array_module(fa)
    wanted = (fa >= min_fa) & (fa <= 1.0)
    if mask is not None:
        wanted &= without_layer(mask != 0)
    places = xp.flatnonzero(wanted)
    for count in SAMPLES:
        found, clear = _compared(v1, fa, grid, wanted, _sampled(places, count))
        cleared = found.pairs >= MIN_PAIRS and not found.doubtful
        if clear and (count == SAMPLES[-1] or cleared):
            return found
    return _compared(v1, fa, grid, wanted, places)[0]


def _compared(v1: Array, fa: Array, grid: Grid, wanted: Array, places: Array) -> tuple[GradientCheck, bool]:
    """Return coherences from the pairs that begin at `places`, and True if they are clearly off the margin."""
    forms, pairs = _forms(v1, fa, wanted, places)
    lines = np.array(_OFFSETS) * np.array(grid.voxel_size)
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    flip = np.array([-1.0 if grid.handedness > 0 else 1.0, 1.0, 1.0])
    terms = (
        np.stack([_quartic(*(lines * flip @ candidate.matrix).T).T for candidate in CANDIDATES]) * _MULTIPLICITY
    )
    sums = np.einsum("cok,gokl,col->gc", terms, forms, terms)
    total = sums.sum(axis=0)
    order = np.argsort(-total, kind="stable")
    coherence = {CANDIDATES[c]: float(total[c]) / max(pairs, 1) for c in order}
    sampled = places.size / max(int(wanted.sum()), 1)
    other = next(c for c in order if c != _GIVEN)
    error = math.sqrt(max(0.0, 1.0 - sampled)) * _jackknife(sums[:, other], sums[:, _GIVEN])
    off = abs(total[other] / max(total[_GIVEN], 1e-300) - MARGIN)
    return GradientCheck(coherence, pairs, error), bool(off > CONFIDENCE * error or error == 0.0)


def _sampled(places: Array, count: int) -> Array:
    """Return at most `count` of the voxels (n,), any part of them spread over all."""
    if places.size <= count:
        return places
    step = next(n for n in range(round(GOLDEN * places.size), places.size) if math.gcd(n, places.size) == 1)
    sampled: Array = places[array_module(places).asarray(np.arange(count) * step % places.size)]
    return sampled


def _forms(v1: Array, fa: Array, wanted: Array, places: Array) -> tuple[FloatArray, int]:
    """Return per group and offset the sum over pairs of products of their features, and the number of pairs."""
    xp, shape = array_module(fa), tuple(fa.shape)
    images = [image.transpose(2, 1, 0).reshape(-1) for image in (*(v1[..., axis] for axis in range(3)), fa)]
    chosen, strides = wanted.transpose(2, 1, 0).reshape(-1), (1, shape[0], shape[0] * shape[1])
    groups = len(_QUARTIC), GROUPS if places.size in SAMPLES else 1, -1
    position = xp.unravel_index(places, shape)
    first = sum(p * stride for p, stride in zip(position, strides, strict=True))
    before = _features(images, first, 1.0).reshape(groups).swapaxes(0, 1)
    forms, pairs = [], 0
    for offset in _OFFSETS:
        both = xp.ones(places.shape, bool)
        for p, step, edge in zip(position, offset, shape, strict=True):
            if step:
                both &= p < edge - 1 if step > 0 else p > 0
        second = xp.where(both, first + sum(map(mul, offset, strides)), first)
        both &= chosen.take(second)
        after = _features(images, second, both)
        pairs += int(both.sum())
        forms.append(before @ after.reshape(groups).transpose(1, 2, 0))
    return to_numpy(xp.stack(forms, axis=1)), pairs


def _features(images: Sequence[Array], voxels: Array, weight: Array | float) -> Array:
    """Return (15, n) quartic products of v1 times FA and `weight` at `voxels` (n,); `images` are v1 and FA."""
    x, y, z, fa = (image.take(voxels).astype(np.float64) for image in images)
    return _quartic(x, y, z, fa * weight)


def _jackknife(best: FloatArray, given: FloatArray) -> float:
    """Return the standard error of sum(best) / sum(given) over groups (n,); 0 for a single group."""
    count = len(best)
    if count == 1:
        return 0.0
    without = (best.sum() - best) / np.maximum(given.sum() - given, 1e-300)
    return math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))


def _quartic(x: Array, y: Array, z: Array, weight: Array | float = 1.0) -> Array:
    """Return (15, n) products of four components: (v . u)^4 = sum multiplicity quartic(v) quartic(u)."""
    xp = array_module(x)
    squares = dict(zip(_PAIRS, (x * x, x * y, x * z, y * y, y * z, z * z), strict=True))
    weighted = {pair: square * weight for pair, square in squares.items()}
    quartic: Array = xp.empty((len(_QUARTIC), x.size))
    for term, out in zip(_QUARTIC, quartic, strict=True):
        xp.multiply(squares[term[:2]], weighted[term[2:]], out=out)
    return quartic
