"""Whether a gradient table fits its image: the directions of neighbouring fibres must continue each other.

Turning every gradient by an orthogonal P turns every fitted tensor by P, so one fit serves all candidates.
For a candidate the coherence is the mean over pairs of neighbouring voxels i, j with anisotropy above a
threshold of FA_i FA_j (v_i . u)^4 (v_j . u)^4, u the direction from i to j and v the turned principal
directions, among the 26 neighbours. It is largest where fibres point at voxels whose fibres point back.
Candidates are the six permutations of the axes with any one axis, or none, flipped; the sign of a direction
does not matter, so these are all. The sum is a form of fourth order in each v, so a few 15 x 15 matrices hold
all there is to know about the image.

The measure follows the fibre coherence of Schilling et al. 2019, 10.1016/j.mri.2019.01.018, the candidates are
those of MRtrix3's dwigradcheck (Jeurissen et al. 2014, 10.1016/j.media.2014.05.012, which counts the length of
streamlines instead).
"""

from __future__ import annotations

from itertools import combinations_with_replacement, permutations, product
from math import factorial
from typing import NamedTuple

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray, Grid

MIN_PAIRS = 500
"""Neighbours needed for a statement."""
MARGIN = 1.05
"""How much larger than the given table's a candidate's coherence must be to be believed."""

_QUARTIC = tuple(combinations_with_replacement(range(3), 4))
_MULTIPLICITY = np.array(
    [factorial(4) / np.prod([factorial(term.count(axis)) for axis in range(3)]) for term in _QUARTIC]
)


class Candidate(NamedTuple):
    """A change of a table: new components (x, y, z) are the old ones in `order`, then `flip` is negated."""

    order: tuple[int, int, int]
    flip: int | None

    @property
    def matrix(self) -> FloatArray:
        """P with changed = P @ given."""
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
    """Coherence of each candidate [1], best first, and the number of `pairs` of neighbours it rests on."""

    coherence: dict[Candidate, float]
    pairs: int

    @property
    def best(self) -> Candidate:
        """Candidate with the largest coherence."""
        return next(iter(self.coherence))

    @property
    def ratio(self) -> float:
        """Coherence of the best candidate over that of the table as given."""
        return self.coherence[self.best] / max(self.coherence[AS_GIVEN], 1e-300)

    @property
    def doubtful(self) -> bool:
        """Whether another table fits the image clearly better than the one given."""
        return self.pairs >= MIN_PAIRS and self.best != AS_GIVEN and self.ratio > MARGIN


AS_GIVEN = Candidate((0, 1, 2), None)
CANDIDATES = tuple(
    Candidate((order[0], order[1], order[2]), flip)
    for order, flip in product(permutations(range(3)), (None, 0, 1, 2))
)


def check_gradients(
    v1: Array, fa: Array, grid: Grid, *, mask: Array | None = None, min_fa: float = 0.3
) -> GradientCheck:
    """Coherence of the principal directions under every flip and permutation of the gradient table.

    Parameters
    ----------
    v1
        (x, y, z, 3) principal directions of the tensor in FSL's frame.
    fa
        (x, y, z) fractional anisotropy [1].
    grid
        Geometry: voxel size and handedness.
    mask
        (x, y, z); other voxels are left out. Its outermost layer is left out too: fits there follow the rim.
    min_fa
        Voxels below are left out, and those above 1 (noise).

    Raises
    ------
    InputError
        For arrays that do not fit the grid.
    """
    if tuple(v1.shape) != (*grid.shape, 3) or tuple(fa.shape) != grid.shape:
        raise InputError(
            f"v1 {tuple(v1.shape)} and fa {tuple(fa.shape)} do not fit {grid.shape}", field="shape"
        )
    anisotropy = to_numpy(fa)
    wanted = (anisotropy >= min_fa) & (anisotropy <= 1.0)
    if mask is not None:
        wanted &= _inner(to_numpy(mask) != 0)
    place = np.full(np.array(grid.shape) + 2, -1, dtype=np.int64)
    place[1:-1, 1:-1, 1:-1][wanted] = np.arange(np.count_nonzero(wanted))
    directions = to_numpy(v1)[wanted].astype(np.float64)
    flip = np.array([-1.0 if grid.handedness > 0 else 1.0, 1.0, 1.0])
    features = _quartic(directions) * anisotropy[wanted].astype(np.float64)[:, None]
    forms, axes, pairs = [], [], 0
    for offset in product((-1, 0, 1), repeat=3):
        if offset <= (0, 0, 0):
            continue
        first = place[1:-1, 1:-1, 1:-1][wanted]
        second = place[tuple(slice(1 + o, n + 1 + o) for o, n in zip(offset, grid.shape, strict=True))][wanted]
        both = second >= 0
        pairs += int(np.count_nonzero(both))
        forms.append(features[first[both]].T @ features[second[both]])
        along = np.array(offset) * np.array(grid.voxel_size)
        axes.append(along / np.linalg.norm(along))
    coherence = {}
    for candidate in CANDIDATES:
        turned = np.array(axes) * flip @ candidate.matrix
        terms = _quartic(turned) * _MULTIPLICITY
        coherence[candidate] = float(np.einsum("ok,okl,ol->", terms, np.array(forms), terms)) / max(pairs, 1)
    best_first = dict(sorted(coherence.items(), key=lambda item: -item[1]))
    return GradientCheck(best_first, pairs)


def _quartic(vectors: FloatArray) -> FloatArray:
    """(n, 15) products of four components: (v . u)^4 = sum multiplicity quartic(v) quartic(u)."""
    return np.stack([np.prod(vectors[:, term], axis=1) for term in map(list, _QUARTIC)], axis=1)


def _inner(mask: Array) -> Array:
    """Voxels whose six neighbours lie in the mask."""
    padded = np.pad(mask, 1)
    inner = mask.copy()
    for axis in range(3):
        for shift in (-1, 1):
            inner &= np.roll(padded, shift, axis)[1:-1, 1:-1, 1:-1]
    return inner
