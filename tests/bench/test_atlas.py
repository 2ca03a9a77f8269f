"""The lines of `python -m bench atlas`, for nuclei whose overlap and susceptibility are known."""

import numpy as np
import pytest

from bench import atlas
from qsmengine.grid import Grid
from qsmengine.ops.transforms import Transform
from qsmengine.stages.anatomy.atlas import CIT168, RIGHT, THALAMUS, Head, Template

SHAPE = (24, 20, 16)
GRID = Grid.from_voxel_size(SHAPE, (1.5, 1.5, 1.5))
SAME = Transform(np.eye(4))
RED = 8
PALLIDUM = {"network": (13, 52), "nuclei": (5, 105)}


def box(x):
    """Six planes from `x` on, six rows and six columns of them."""
    found = np.zeros(SHAPE, np.float32)
    found[x : x + 6, 4:10, 4:10] = 1
    return found


def template(nuclei):
    labels = np.zeros(SHAPE, np.int32)
    for number, where in nuclei.items():
        labels[where > 0] = number
    return Template(box(0), GRID, {CIT168: labels, THALAMUS: np.zeros(SHAPE, np.int32)})


def truth(nuclei, chi):
    return atlas.Truth({(CIT168, n): part for n, part in nuclei.items()}, chi, chi, GRID)


def test_overlap_and_susceptibility_of_a_nucleus_are_means_of_both_sides():
    true = {RED: box(2), RED + RIGHT[CIT168]: box(14)}
    chi = np.float32(0.1) * (true[RED] + true[RED + RIGHT[CIT168]])
    moved = template({RED: box(5), RED + RIGHT[CIT168]: box(14)})  # the left one by half its length
    (line,) = atlas._scores(SAME, moved, truth(true, chi))
    name, dice, apart = line.split()
    assert name
    assert float(dice) == pytest.approx((0.5 + 1) / 2, abs=0.005)
    assert float(apart) == pytest.approx(-50 / 2, abs=0.5)


def test_structures_of_each_and_of_both_are_compared_with_the_true_ones(capsys):
    true, near = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    for number, start in zip(PALLIDUM["network"], (2, 14), strict=True):
        true[box(start) > 0], near[box(start + 3) > 0] = number, number  # the network is off by half its length
    chi = np.where(true > 0, np.float32(0.1), np.float32(0))
    made = truth({}, chi)
    placed = template(dict(zip(PALLIDUM["nuclei"], (box(2), box(14)), strict=True)))
    atlas._print_shared(Head(chi, near, GRID, SAME, chi, GRID), SAME, placed, true, made)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split(": ")[1] == (
        "network 0.50 -50.0, 0.50 -50.0; atlas 1.00 +0.0, 1.00 +0.0; mean of both 0.80 -25.0, 0.80 -25.0"
    )


def test_the_map_has_the_susceptibility_that_was_drawn():
    chi = np.float32(0.1) * box(9) - np.float32(0.02) * (1 - box(9))
    chi[:2] = 0
    found = atlas._measured(chi, GRID, np.random.default_rng(3))
    inside = found[box(9) > 0].mean() - found[box(9) == 0].mean()
    assert 0.08 < inside < 0.125
    assert not found[chi == 0].any()
