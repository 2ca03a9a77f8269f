"""Signal that a fitted model predicts, from its maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qsmengine.backend.device import array_module
from qsmengine.data import Array
from qsmengine.grid import FloatArray
from qsmengine.stages.diffusion.design import design_matrix

WATER = 3.0e-3
"""Diffusivity of free water [mm^2/s] at body temperature."""


def predicted_signal(
    maps: Mapping[str, Array], b_values: FloatArray, b_vectors: FloatArray, water_diffusivity: float = WATER
) -> Array:
    """Return the signal (..., volume) of a fitted model, in the unit of ``s0``.

    ::

        S_v = s0 min(exp(-b_v g_v' D g_v + b_v^2 V(g_v) / 6), 1)
        S_v = s0 [(1 - f) min(exp(-b_v g_v' D g_v), 1) + f exp(-b_v D_water)]

    with the kurtosis V and the fraction f of free water, where the maps have them
    (:mod:`qsmengine.stages.diffusion.kurtosis`, :mod:`qsmengine.stages.diffusion.free_water`).

    Parameters
    ----------
    maps
        ``s0`` (...), ``tensor`` (..., 6) [mm^2/s], and ``kurtosis_tensor`` (..., 15) [1] with ``md`` (...)
        [mm^2/s] or ``free_water`` (...) [1], for any voxels.
    b_values, b_vectors
        (volume,) [s/mm^2] as they were fitted, and (volume, 3) in FSL's frame.
    water_diffusivity
        D_water [mm^2/s].
    """
    xp = array_module(maps["s0"])
    terms = xp.asarray(design_matrix(b_values, b_vectors)[:, 1:].T, dtype=np.float32)
    exponent = maps["tensor"] @ terms
    if "kurtosis_tensor" in maps:
        from qsmengine.stages.diffusion.kurtosis import quartic_terms

        quartic = (b_values[:, None] ** 2 / 6.0 * quartic_terms(b_vectors)).T
        fourth = maps["kurtosis_tensor"] @ xp.asarray(quartic, dtype=np.float32)
        exponent = exponent + maps["md"][..., None] ** 2 * fourth
    decay = xp.exp(xp.minimum(exponent, 0))
    if "free_water" in maps:
        water = xp.asarray(np.exp(-b_values * water_diffusivity), dtype=np.float32)
        decay += maps["free_water"][..., None] * (water - decay)
    predicted: Array = maps["s0"][..., None] * decay
    return predicted
