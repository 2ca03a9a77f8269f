"""Selection of the volumes to fit in a diffusion series, by b-value."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from qsmengine.data import unweighted_volumes
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import FloatArray
from qsmengine.pipeline.configuration.model import Config
from qsmengine.stages.diffusion.design import distinct_directions, shells
from qsmengine.stages.diffusion.fitting import FitParams

SAME_SHELL = 0.1
"""Relative difference from a requested b-value below which a volume belongs to its shell."""
TENSOR_B_LIMIT = 1500.0
"""b-value [s/mm^2] above which the tensor is biased: free water has lost 99 % of its signal there."""
SCATTER = 0.05
"""Relative amount by which a b-value may exceed a limit, since b-values vary within a shell."""
LEAST_WEIGHTED = 500.0
"""Smallest b-value [s/mm^2] that the shells below the limit must reach; otherwise all shells are fitted."""
LEAST_DIRECTIONS = 6
"""Number of directions that a tensor needs."""
MORE_THAN_A_TENSOR = frozenset({"dki", "dki_constrained", "free_water"})
"""Fits whose models are valid at higher b-values."""


class Chosen(NamedTuple):
    """Indices of the volumes to fit, and notes on the choice."""

    volumes: npt.NDArray[np.intp]
    notes: list[str]


def b0_limit(config: Config) -> float | None:
    """Return the largest b-value that counts as b = 0 [s/mm^2]; None: from the data."""
    return config.diffusion.b0_threshold or None  # type: ignore[attr-defined]


def fitted_volumes(
    config: Config, b_values: FloatArray, b_vectors: FloatArray, wanted: tuple[float, ...] | None = None
) -> Chosen:
    """Return the volumes to fit: the shells `wanted` [s/mm^2], else those up to ``diffusion.maximum_b``.

    Without either, a tensor is fitted to the shells up to `TENSOR_B_LIMIT`, provided that these reach
    `LEAST_WEIGHTED` and contain six directions. Other models, and tables without such shells, use all volumes.

    Raises
    ------
    InputError
        For a shell that the series does not have, or a limit that leaves no weighted volume.
    """
    method, params = fit_parameters(config)
    threshold = b0_limit(config)
    if wanted is not None:
        chosen = chosen_volumes(b_values, wanted, threshold)
        return Chosen(chosen, _beyond_the_tensor(method, b_values[chosen]))
    weighted = ~unweighted_volumes(b_values, threshold)
    limit = TENSOR_B_LIMIT if params.maximum_b is None else params.maximum_b
    keep = ~weighted | (b_values <= limit * (1.0 + SCATTER))
    everything = Chosen(np.arange(len(b_values)), _beyond_the_tensor(method, b_values))
    if keep.all():
        return everything
    if params.maximum_b is None and (
        method in MORE_THAN_A_TENSOR or not _enough(b_values, b_vectors, weighted & keep)
    ):
        return everything
    if not (weighted & keep).any():
        raise InputError(
            f"diffusion.maximum_b={limit:g} leaves no weighted volume (shells: {_listed(b_values, threshold)})",
            field="bval",
        )
    chosen = np.flatnonzero(keep)
    why = "as set by diffusion.maximum_b" if params.maximum_b is not None else "where the tensor model is valid"
    note = (
        f"fitted {len(chosen)} of {len(b_values)} volumes: b = 0 and shells up to {limit:g} s/mm^2 "
        f"({_listed(b_values[chosen], threshold)}), {why}; excluded: b = {_listed(b_values[~keep], 0.0)}; "
        "diffusion.maximum_b or --shells changes this, --fit dki uses every shell"
    )
    return Chosen(chosen, [note, *_beyond_the_tensor(method, b_values[chosen])])


def chosen_volumes(
    b_values: FloatArray, wanted: tuple[float, ...], b0_threshold: float | None = None
) -> npt.NDArray[np.intp]:
    """Return the indices of the unweighted volumes and of the wanted shells [s/mm^2].

    Raises
    ------
    InputError
        For a shell that the series does not have; the message lists the shells.
    """
    keep = unweighted_volumes(b_values, b0_threshold)
    for shell in wanted:
        members = np.abs(b_values - shell) <= SAME_SHELL * shell
        if not members.any():
            known = _listed(b_values, b0_threshold)
            raise InputError(f"no volume with b = {shell:g} s/mm^2 (shells: {known})", field="bval")
        keep = keep | members
    return np.flatnonzero(keep)


def fit_parameters(config: Config) -> tuple[str, FitParams]:
    """Return the name of the fit and the parameters shared by all fits."""
    chosen = config.method("diffusion")
    if chosen is None:
        raise UsageError("the configuration has no diffusion section")
    return chosen[0].name, cast("FitParams", chosen[1])


def _enough(b_values: FloatArray, b_vectors: FloatArray, volumes: npt.NDArray[np.bool_]) -> bool:
    """Return whether the weighted volumes have a sufficient b-value and enough directions."""
    b, g = b_values[volumes], b_vectors[volumes]
    return bool(b.size) and b.max() >= LEAST_WEIGHTED and distinct_directions(b, g) >= LEAST_DIRECTIONS


def _listed(b_values: FloatArray, b0_threshold: float | None) -> str:
    return ", ".join(f"{b:.0f}" for b in shells(b_values, b0_threshold))


def _beyond_the_tensor(method: str, b_values: FloatArray) -> list[str]:
    """Return a note if a tensor is fitted to b-values at which fluid has no signal left."""
    highest = float(b_values.max())
    if method in MORE_THAN_A_TENSOR or highest <= TENSOR_B_LIMIT * (1.0 + SCATTER):
        return []
    note = (
        f"b-values up to {highest:.0f} s/mm^2: beyond {TENSOR_B_LIMIT:.0f} the tensor underestimates "
        "diffusivity, most in fluid, where only noise is left; --shells restricts the fit to lower shells, "
        "--fit dki models non-Gaussian diffusion"
    )
    return [note]
