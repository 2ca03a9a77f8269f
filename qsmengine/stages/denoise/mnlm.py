"""Multicomponent non-local means (MNLM): all components averaged with one set of weights.

    d2(i, j)  = 1 / (C |P|) sum_c sum_p (u_c(i+p) - u_c(j+p))^2 / sigma_c(i+p)^2     p over the patch
    w(i, j)   = exp(-max(d2 - d0, 0) / h^2)                                          j over the search window
    u_c(i) <- sum_j w(i, j) u_c(j) / sum_j w(i, j)

In pure noise d2 has the mean 2 and a variance that decreases with the number of components, so more components
make the weights better at distinguishing structure from noise. The noise of the patch around i is used; a noise
map enters the weights only, so it leaves no imprint on the result. Candidates lie in the mask. The image is
mirrored at its faces (without repeating the outermost voxel); at the edge of the mask, patches are averaged
over the voxels inside. Voxels outside the mask become 0.

`blockwise` averages whole patches (blocks) of similar mean and variance instead of voxels; a voxel is the mean
over the blocks that contain it. A block without similar blocks stays unchanged, so small structures are kept.

`lmmse` adds a second pass, a linear estimate with minimum mean square error from voxels in a small window that
are similar in the first pass' result p:

    w2(i, j) = exp(-1/C sum_c (p_c(i) - p_c(j))^2 / sigma_c(i)^2 / lmmse_h^2)
    m, S     = weighted mean and covariance of u / sigma(i)
    e(i)     = m + G(S) (u(i) - m)             G near 1 - 1 / S, 0 where S < 1: see kernels/nlm_lmmse.cu
    u(i)    <- p(i) + min(1, 10 / N(i)) (e(i) - p(i))               N the sum of the first pass' weights

Structure common to the components (an edge in all echoes, phase that grows with the echo time) exceeds the
noise and is kept; directions in which they vary like noise are averaged. This leaves about a third of the
noise's variance. Where the first pass found more than ten similar voxels its mean is better, and is used; a
voxel without similar ones stays unchanged.

`rician` is for magnitude images, whose noise is not Gaussian: u^2 is averaged and its bias, 2 sigma^2, is
subtracted. The real and imaginary parts of complex data need no such step.

References: non-local means: Buades et al. 2005, 10.1137/040616024; several components: Manjon et al. 2009,
10.1155/2009/756897; complex data: Borrelli et al. 2015, 10.1371/journal.pone.0126835; Rician bias:
Wiest-Daessle et al. 2008, 10.1007/978-3-540-85990-1_21; blocks: Coupe et al. 2008, 10.1109/TMI.2007.906087;
linear estimate: Aja-Fernandez et al. 2008, 10.1109/TIP.2008.925382; covariance of similar patches: Lebrun et
al. 2013, 10.1137/120874989.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.group import device_group
from qsmengine.data import Array
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.ops.domain import bounding_box
from qsmengine.ops.nonlocal_blocks import BlockRule
from qsmengine.ops.nonlocal_means import NlmRule, Radius, nonlocal_means
from qsmengine.ops.windows import fill_outwards
from qsmengine.stages.denoise.noise import estimate_sigma, estimate_sigma_map
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params, model_validator

_MANY = 10.0
"""Sum of weights from which a mean (some bias, 1/10 of the variance) beats the linear estimate (about 1/3)."""

SearchRadius = Annotated[int, Field(ge=0, le=15)]
PatchRadius = Annotated[int, Field(ge=0, le=3)]
Sigma = Annotated[float, Field(gt=0)]
Lmmse = Annotated[
    bool,
    Field(description="second pass: linear estimate from the covariance of voxels similar after the first"),
]


class MnlmParams(Params):
    """Parameters of multicomponent non-local means."""

    search_radius: SearchRadius | tuple[SearchRadius, SearchRadius, SearchRadius] = Field(
        5, description="radius of the search window [voxels], one number or three"
    )
    patch_radius: PatchRadius | tuple[PatchRadius, PatchRadius, PatchRadius] = Field(
        1, description="radius of the compared patches [voxels], one number or three"
    )
    h: float = Field(1.0, gt=0, description="decay of the weights, in units of the noise")
    d0: float = Field(
        0.0, ge=0, description="difference up to which the weight is 1; 2 is the mean in pure noise"
    )
    weight_floor: float = Field(1e-4, ge=0, lt=1, description="smaller weights are set to 0")
    self_weight: Literal["one", "largest"] = Field(
        "one", description="a voxel's own weight: 1, or the largest of the others"
    )
    lmmse: Lmmse = False
    lmmse_h: float = Field(4.0, gt=0, description="decay of the second pass' weights, in units of the noise")
    lmmse_radius: int | None = Field(
        None,
        ge=1,
        le=5,
        description="radius of the second pass' window [voxels]; none: smallest with 6 voxels per component",
    )
    sigma: Sigma | tuple[Sigma, ...] | None = Field(
        None, description="noise in the components' unit, one number or one per component; none: estimated"
    )
    noise: Literal["global", "local"] = Field(
        "global", description="noise estimate: one number, or a map (for example after SENSE or GRAPPA)"
    )
    rician: bool = Field(False, description="for magnitude images: average squares, subtract 2 sigma^2")
    blockwise: bool = Field(False, description="average blocks of similar mean and variance instead of voxels")
    block_stride: int = Field(
        2, ge=1, le=4, description="spacing of the blocks' centres [voxels]; at most radius + 1"
    )
    mean_ratio: float = Field(
        0.95,
        ge=0,
        le=1,
        description="blockwise: smallest ratio of two blocks' means, smaller over larger",
    )
    variance_ratio: float = Field(
        0.5,
        ge=0,
        le=1,
        description="blockwise: smallest ratio of two blocks' variances, smaller over larger",
    )
    slab: int | None = Field(
        None, ge=1, description="planes processed at a time; none: as many as memory allows"
    )
    gpus: int = Field(
        1, ge=1, le=64, description="number of GPUs that share the slabs: that of the run and the following"
    )

    @model_validator(mode="after")
    def _squares_have_other_noise(self) -> Self:
        if self.rician and self.lmmse:
            raise ValueError("rician averages squares, whose noise depends on the signal: set lmmse to false")
        return self

    def rules(self, components: int) -> tuple[NlmRule, ...]:
        """Return the rules of the weights for a number of components, one for each pass."""
        first = NlmRule(
            search=_three(self.search_radius), patch=_three(self.patch_radius), h=self.h, d0=self.d0,
            floor=self.weight_floor, self_peak=self.self_weight == "largest",
            blocks=self._blocks,
        )  # fmt: skip
        if not self.lmmse:
            return (first,)
        window = _three(self.lmmse_radius or _window_radius(components))
        return first, NlmRule(window, (0, 0, 0), self.lmmse_h, floor=self.weight_floor, lmmse=True)

    @property
    def _blocks(self) -> BlockRule | None:
        if not self.blockwise:
            return None
        return BlockRule(self.block_stride, self.mean_ratio, self.variance_ratio)


def _window_radius(components: int) -> int:
    """Return the smallest radius whose window has 6 voxels per component."""
    radius = 1
    while (2 * radius + 1) ** 3 < 6 * components:
        radius += 1
    return radius


def mnlm(
    components: Array,
    mask: Array,
    grid: Grid,  # noqa: ARG001
    params: MnlmParams,
    *,
    device: Device,
    sigma: Array | None = None,
) -> Array:
    """Return filtered components (x, y, z, component), in their unit, 0 outside `mask`.

    Parameters
    ----------
    components
        (x, y, z, component), real.
    mask
        (x, y, z): voxels to filter.
    sigma
        Noise (x, y, z) of all components or (x, y, z, component), in their unit; replaces `params.sigma`.

    Raises
    ------
    InputError
        For noise that is not positive inside the mask, a number of values that differs from that of the
        components, or more than 32 components with `lmmse`.
    """
    inside = device.asarray(mask, bool)
    count = int(components.shape[3])
    box = tuple(slice(a, b) for a, b in zip(*bounding_box(inside), strict=True))
    inside, images = inside[box], components[box]
    depth = max(_three(params.patch_radius)) * (2 if params.blockwise else 1)
    planes = device.empty((count, *inside.shape))
    for c in range(count):
        planes[c] = fill_outwards(device.asarray(images[..., c]), inside, depth)
    if sigma is None and params.sigma is None and params.noise == "local":
        sigma = estimate_sigma_map(components, mask, device=device)
    if sigma is not None:
        filtered = _with_map(
            planes, inside, _noise_planes(sigma[box], count, inside, depth, device), params, device
        )
    else:
        scalars = _scalars(params, planes, inside, count, device)
        filtered = _with_scalars(planes, inside, scalars, params, device)
    result = device.zeros((*mask.shape, count))
    result[box] = device.asarray(filtered.transpose(1, 2, 3, 0))
    return result


def _with_scalars(planes: Array, inside: Array, sigma: Array, params: MnlmParams, device: Device) -> Array:
    planes /= sigma
    filtered = _passes(planes, inside, params, device, None, 1.0)
    filtered *= sigma
    return filtered


def _with_map(planes: Array, inside: Array, noise: Array, params: MnlmParams, device: Device) -> Array:
    return _passes(planes, inside, params, device, 1.0 / (noise * noise), noise * inside)


def _passes(
    planes: Array,
    inside: Array,
    params: MnlmParams,
    device: Device,
    precision: Array | None,
    sigma: Array | float,
) -> Array:
    """Filter `planes` in one pass or two."""
    share: dict[str, Any] = {"slab": params.slab, "devices": device_group(device, params.gpus)}
    share["precision"] = precision
    first, *second = params.rules(len(planes))
    if params.rician:
        return _root(nonlocal_means(planes * planes, inside, first, device, guide=planes, **share), sigma)
    counted = bool(second) and first.blocks is None
    found = nonlocal_means(planes, inside, first, device, sums=counted, **share)
    if not second:
        return found
    means = found[: len(planes)]
    estimate = nonlocal_means(planes, inside, second[0], device, guide=means, **share)
    if counted:
        estimate -= means
        estimate *= np.float32(_MANY) / np.maximum(found[-1], np.float32(_MANY))
        estimate += means
    return estimate


def _root(squares: Array, sigma: Array | float) -> Array:
    magnitude: Array = np.sqrt(np.maximum(squares - 2.0 * sigma * sigma, np.float32(0)))
    return magnitude


def _scalars(params: MnlmParams, planes: Array, inside: Array, count: int, device: Device) -> Array:
    """Return the noise of each component, (component, 1, 1, 1)."""
    given = params.sigma
    if given is None:
        given = estimate_sigma(planes.transpose(1, 2, 3, 0), inside, device=device)
    values = (given,) * count if isinstance(given, float) else given
    if len(values) != count:
        raise InputError(f"{len(values)} values for {count} components", field="sigma")
    return device.asarray(np.reshape(values, (count, 1, 1, 1)))


def _noise_planes(sigma: Array, count: int, inside: Array, depth: int, device: Device) -> Array:
    """Return the noise map as (1 or component, x, y, z), extrapolated outside the mask."""
    maps = sigma[..., np.newaxis] if sigma.ndim == 3 else sigma
    if maps.shape[3] not in {1, count}:
        raise InputError(f"{maps.shape[3]} maps for {count} components", field="sigma")
    planes = device.empty((maps.shape[3], *inside.shape))
    for c, plane in enumerate(planes):
        own = device.asarray(maps[..., c])
        if not bool((own[inside] > 0).all()):
            raise InputError("noise is not positive everywhere inside the mask", field="sigma")
        plane[...] = fill_outwards(own, inside, depth)
        plane[plane <= 0] = 1.0
    return planes


def _three(radius: int | Radius) -> Radius:
    return (radius, radius, radius) if isinstance(radius, int) else radius


METHODS = (
    Method(
        stage="denoise", name="mnlm", run=mnlm, params=MnlmParams,
        inputs=("components", "mask", "sigma?"), outputs={"components": "arbitrary"},
        summary="joint non-local means of several components", doi="10.1155/2009/756897",
        bytes_per_voxel=100, bytes_per_volume=40,
    ),
)  # fmt: skip
