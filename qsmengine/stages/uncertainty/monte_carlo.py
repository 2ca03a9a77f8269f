"""Standard deviation of chi by Monte Carlo sampling of the noise of the field.

A sample n of Gaussian noise with the field's standard deviation is propagated through background removal and
inversion, once added to the field and once subtracted:

    d = (chi(field + n) - chi(field - n)) / 2,        variance = mean over the draws of d^2.

The pair cancels terms even in n, so the bias of a nonlinear method adds little to the spread. Linear steps
map n alone and need no pair. The mean of d over the mask is subtracted, as chi is determined up to a constant.
With few draws the variance is noisy (relative error sqrt(2 / draws)); as it varies slowly in space, a Gaussian
mean over the mask replaces further draws. Draws are generated from one seed on the host, so devices agree.

The map contains the noise of the images. Errors of unwrapping, residual background and the prior are the same
in every repetition and not included. `noise_level` sets the magnitude of the field's noise, for noise maps that
are relative or estimated from images with noise that is correlated between voxels.

Reference: Efron 1979, 10.1214/aos/1176344552 (parametric bootstrap); the pairs: Hammersley & Morton 1956,
10.1017/S0305004100031455.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.ops.gaussian import GaussianMean
from qsmengine.ops.order_statistics import median
from qsmengine.stages.method import Method
from qsmengine.stages.noise import field_weight
from qsmengine.stages.params import Field, Length, Params

DEFAULT_CHAIN = (("background", "vsharp"), ("inversion", "closed_form_l2"))
MARGIN = 40.0
"""Margin of the default chain [mm]."""


class MonteCarloParams(Params):
    """Parameters of the Monte Carlo."""

    draws: int = Field(4, ge=1, le=10000, description="draws of noise; each takes at most two reconstructions")
    smoothing: Length = Field(
        3.0, ge=0, description="standard deviation of the Gaussian that smooths the variance [mm]"
    )
    seed: int = Field(0, ge=0, description="seed of the draws")
    noise_level: float | None = Field(
        None, gt=0, description="median noise of the field in the mask [ppm]; none: that of the noise map"
    )
    background: str | None = Field(
        None, description="method of background removal; none: that of the run, or vsharp"
    )
    inversion: str | None = Field(
        None, description="method of inversion; none: that of the run, or closed_form_l2"
    )


class ChainStep(NamedTuple):
    """Method applied to the field, with its parameters and the inputs other than field and mask."""

    method: Method
    params: Params
    inputs: Mapping[str, Any]


def monte_carlo(
    total_field: Array,
    noise: Array,
    mask: Array,
    grid: Grid,
    params: MonteCarloParams,
    *,
    device: Device,
    chain: Sequence[ChainStep] = (),
) -> Array:
    """Return the standard deviation (x, y, z) [ppm] of chi; 0 outside the mask after background removal.

    Parameters
    ----------
    total_field, noise
        (x, y, z) [ppm].
    mask
        (x, y, z).
    grid
        Geometry with the field strength.
    params
        Parameters.
    device
        Where to compute.
    chain
        Steps of a run from the total field to chi; `params` may name others.

    Raises
    ------
    UsageError
        For a method that does not exist.
    InputError
        For noise that is unknown everywhere.
    """
    inside = device.asarray(mask, bool)
    spread = device.xp.where(inside, device.asarray(noise), np.float32(0))
    weight = field_weight(spread, inside)  # raises if the noise is unknown everywhere
    spread = device.xp.where(weight > 0, spread, np.float32(0))
    if params.noise_level is not None:
        spread *= np.float32(params.noise_level / median(spread[weight > 0]))
    runner = _Chain(_steps(params, chain), spread, grid, device)
    start = _State(device.asarray(total_field), inside, "total_field")
    variance: Array | None = None
    for difference, region in runner.differences(start, params):
        square = _centred(difference, region) ** 2
        variance = square if variance is None else variance + square
    assert variance is not None  # noqa: S101  (there is a draw or more)
    variance /= np.float32(params.draws)
    if params.smoothing > 0:
        variance = GaussianMean(region, grid, (params.smoothing,) * 3, device)(variance)
    result: Array = device.xp.sqrt(device.xp.maximum(variance, np.float32(0)))
    return result


class _State(NamedTuple):
    """Intermediate image: a field or chi, its mask, and its kind."""

    image: Array
    mask: Array
    name: str


class _Chain:
    """Steps from the total field to chi, through which draws of noise are propagated."""

    def __init__(self, steps: Sequence[ChainStep], spread: Array, grid: Grid, device: Device) -> None:
        count = 0
        while count < len(steps) and steps[count].method.linear:
            count += 1
        self.linear, self.rest = steps[:count], steps[count:]
        self.spread, self.grid, self.device = spread, grid, device

    def differences(self, start: _State, params: MonteCarloParams) -> Iterator[tuple[Array, Array]]:
        """Yield the change of chi by each draw of noise, and the mask of chi."""
        rng = np.random.default_rng(params.seed)
        base = self._send(self.linear, start) if self.rest else start
        for _ in range(params.draws):
            draw = self.device.asarray(rng.standard_normal(self.grid.shape, dtype=np.float32)) * self.spread
            change = self._send(self.linear, start._replace(image=draw))
            if not self.rest:
                yield change.image, change.mask
                continue
            above = self._send(self.rest, base._replace(image=base.image + change.image))
            below = self._send(self.rest, base._replace(image=base.image - change.image))
            yield (above.image - below.image) * np.float32(0.5), above.mask

    def _send(self, steps: Sequence[ChainStep], state: _State) -> _State:
        for method, params, extra in steps:
            inputs = {**extra, state.name: state.image, "mask": state.mask}
            if "weight?" in method.inputs:
                inputs["weight"] = field_weight(self.spread, state.mask)
            if "noise?" in method.inputs:
                inputs["noise"] = self.spread
            results = method(inputs, self.grid, params, device=self.device)
            name = "chi" if "chi" in results else "local_field"
            state = _State(results[name], results.get("mask", state.mask), name)
        return state


def _steps(params: MonteCarloParams, chain: Sequence[ChainStep]) -> list[ChainStep]:
    """Return the given or the default chain, with methods replaced by those that `params` names."""
    from qsmengine.stages.registry import get_method

    steps = list(chain) or [_default(get_method(*names)) for names in DEFAULT_CHAIN]
    named = {"background": params.background, "inversion": params.inversion}
    wanted = {stage: name for stage, name in named.items() if name is not None}
    return [
        _default(get_method(step.method.stage, wanted[step.method.stage]))
        if step.method.stage in wanted and wanted[step.method.stage] != step.method.name
        else step
        for step in steps
    ]


def _default(method: Method) -> ChainStep:
    return ChainStep(method, method.params(), {})


def _centred(difference: Array, region: Array) -> Array:
    """Return `difference` minus its mean over `region`, 0 elsewhere."""
    mean = float(difference[region].mean(dtype=np.float64))
    centred: Array = (difference - np.float32(mean)) * region
    return centred


METHODS = (
    Method(
        stage="uncertainty", name="monte_carlo", run=monte_carlo, params=MonteCarloParams,
        inputs=("total_field", "noise", "mask"), outputs={"chi_sd": "ppm"},
        summary="noise of the field propagated through background removal and inversion",
        doi="10.1214/aos/1176344552", bytes_per_voxel=250, reach=lambda _: MARGIN, repeats=True,
    ),
)  # fmt: skip
