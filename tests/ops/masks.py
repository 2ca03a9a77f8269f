"""Masks of every kind: noise, smooth bodies, empty, full, thin."""

from __future__ import annotations

from scipy import ndimage

SHAPES = [(9, 11, 17), (1, 7, 5), (6, 1, 40), (3, 2, 300), (13, 12, 1), (1, 1, 1)]


def masks(shape, rng):
    noise = rng.random(shape)
    yield from (noise < share for share in (0.0, 0.05, 0.5, 0.8, 0.97, 1.0))
    for level in (0.45, 0.5, 0.55):
        yield ndimage.uniform_filter(noise, 3) > level
