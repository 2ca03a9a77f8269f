"""A small synthetic head for every stage: smooth random susceptibility and its field, echoes, tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from qsmengine.grid import Grid
from qsmengine.phantom.bssfp import BalancedSettings, bssfp_signal
from qsmengine.stages.method import Method
from qsmengine.units import hz_per_ppm

Image = np.ndarray[Any, np.dtype[Any]]
FIELD_STRENGTH = 3.0
ECHO_TIMES = (0.005, 0.012, 0.020)
RAD_PER_PPM_S = 2 * np.pi * 42.576 * FIELD_STRENGTH


def _oblique(voxel_size: tuple[float, float, float]) -> Image:
    a, b = 0.4, -0.3
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_y @ np.diag(voxel_size)
    return affine


GRIDS = {
    "even": Grid((28, 32, 24), np.eye(4), FIELD_STRENGTH),
    "odd": Grid((27, 31, 23), np.eye(4), FIELD_STRENGTH),
    "anisotropic": Grid((28, 26, 17), np.diag([1.0, 1.2, 1.8, 1.0]), FIELD_STRENGTH),
    "oblique": Grid((29, 28, 22), _oblique((1.1, 1.0, 1.5)), FIELD_STRENGTH),
    "flipped": Grid((26, 28, 22), np.diag([-1.0, 1.0, 1.0, 1.0]), FIELD_STRENGTH),
}
LARGE = Grid((96, 96, 80), np.eye(4), FIELD_STRENGTH)
MEDIUM = Grid((56, 56, 48), np.eye(4), FIELD_STRENGTH)


@dataclass(frozen=True)
class Head:
    """Every quantity a stage may ask for, by the name of its argument; arrays are float32."""

    grid: Grid
    values: dict[str, Any]

    def inputs(self, method: Method) -> dict[str, Any]:
        """Return fresh copies of the inputs that `method` requires."""
        return {
            name: np.array(value) if isinstance(value, np.ndarray) else value
            for name in method.required_inputs
            for value in [self.values[name]]
        }


@cache
def head(name: str, seed: int = 0) -> Head:
    """The head on one of GRIDS (or "large", "medium"); another seed gives another tissue in the same shape."""
    grid = {"large": LARGE, "medium": MEDIUM, **GRIDS}[name]
    rng = np.random.default_rng(seed)
    points = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in grid.shape), indexing="ij"))
    mask = (points**2).sum(axis=0) < 0.81
    chi = _blobs(rng, grid) * 0.1 * mask
    chi -= mask * chi.sum() / mask.sum()
    local = _field(chi, grid)
    x, y, z = points
    total = local + 0.15 * (x * x - y * y) + 0.2 * z + 0.1 * x * y
    times = np.array(ECHO_TIMES)
    proton = (1.0 + 0.2 * _blobs(rng, grid)) * np.where(mask, 1.0, 0.02)
    magnitude = 500 * proton[..., None] * np.exp(-times * (25 + 8 * _blobs(rng, grid))[..., None])
    unwrapped = RAD_PER_PPM_S * total[..., None] * times
    offset = 0.8 + 0.5 * x
    phase = np.angle(np.exp(1j * (unwrapped + offset[..., None])))
    noise = 1e-3 * rng.normal(size=phase.shape)
    tissue = 25 + 8 * _blobs(np.random.default_rng(seed + 100), grid)
    rate = np.where((points**2).sum(axis=0) < 0.25, 2.0, tissue)
    values = {
        "chi": chi, "local_field": local, "total_field": total, "magnitude": magnitude,
        "r2star": rate, "r2": 0.6 * rate, "noise": 1e-3 * (1 + 0.1 * x),
        "components": magnitude * (1 + 0.02 * rng.normal(size=magnitude.shape)),
        "reliable_chi": chi, "filled_chi": chi + 0.02 * x,
        "unwrapped": unwrapped, "phase": np.clip(phase + noise, -np.pi, np.pi),
    } | _optional(mask, x, tissue) | _diffusion(rng, grid)  # fmt: skip
    values |= _perfusion(mask, points, seed) | _spoiled(mask, points, total, seed)
    values["t1w"] = _t1_weighted(points, seed)
    arrays = {k: np.ascontiguousarray(v, np.float32) if np.ndim(v) >= 3 else v for k, v in values.items()}
    reliable = mask & (np.abs(x - 0.2) > 0.1)
    masks = {"mask": mask, "reliable_mask": reliable, "field_mask": reliable, "aif_mask": values["aif_mask"]}
    return Head(grid, {**arrays, **masks, "echo_times": ECHO_TIMES})


def _optional(mask: Image, x: Image, tissue: Image) -> dict[str, Any]:
    """Return arrays for optional inputs: a weight with zeros, noise that grows along x, distorted gradients."""
    deviation = np.zeros((*mask.shape, 9))
    deviation[..., [0, 4, 8]] = 0.02 * x[..., None] * np.array([1.0, -0.5, 0.3])
    return {
        "weight": np.where(x > 0.7, 0.0, np.maximum(tissue / 25, 0.1)) * mask,
        "sigma": 8.0 * (1 + 0.2 * x),
        "labels": np.where(x > 0, 2, 1),
        "gradient_deviation": deviation,
    }


def _blobs(rng: np.random.Generator, grid: Grid) -> Image:
    """Smooth noise of unit standard deviation."""
    smooth = gaussian_filter(rng.normal(size=grid.shape), 2.0)
    texture: np.ndarray = smooth / smooth.std()
    return texture


def _field(chi: Image, grid: Grid) -> Image:
    frequencies = [np.fft.fftfreq(n, h) for n, h in zip(grid.shape, grid.voxel_size, strict=True)]
    k = np.stack(np.meshgrid(*frequencies, indexing="ij"))
    k2 = (k**2).sum(axis=0)
    k2[0, 0, 0] = 1.0
    kernel = 1 / 3 - np.tensordot(grid.b0_direction, k, axes=1) ** 2 / k2
    kernel[0, 0, 0] = 0.0
    return np.real(np.fft.ifftn(kernel * np.fft.fftn(chi)))


def _diffusion(rng: np.random.Generator, grid: Grid) -> dict[str, Any]:
    vectors = rng.normal(size=(40, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    b_values = np.array([0.0] * 2 + [1000.0] * 16 + [2000.0] * 24)
    b_vectors = np.concatenate([np.zeros((2, 3)), vectors])
    mean = (0.8 + 0.1 * _blobs(rng, grid)) * 1e-3
    axis = np.stack([_blobs(rng, grid) for _ in range(3)], axis=-1)
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    along = np.einsum("xyzi,vi->xyzv", axis, b_vectors) ** 2
    diffusivity = mean[..., None] * (0.7 + 0.9 * along)
    signal = 800 * np.exp(-b_values * diffusivity) * (1 + 0.02 * rng.normal(size=along.shape))
    return {"signal": signal, "b_values": b_values, "b_vectors": b_vectors}


FRAMES, FRAME_STEP, ARRIVAL = 32, 1.6, 14.0


def _perfusion(mask: Image, points: Image, seed: int) -> dict[str, Any]:
    """Return a bolus series of two echoes, its change of R2*, and an artery whose core saturates.

    Half of the voxels are dark before the bolus.
    """
    rng = np.random.default_rng(seed + 200)
    times = FRAME_STEP * np.arange(FRAMES)
    after = np.maximum(times - ARRIVAL, 0.0)
    aif = 12.0 * after**3 * np.exp(-after / 1.4)
    flow = (0.010 + 0.003 * points[0]) * (1 + 0.1 * rng.normal(size=mask.shape))
    transit = 4.0 + 2.0 * points[1]
    change = np.zeros((*mask.shape, FRAMES), np.float32)
    state = np.zeros(mask.shape)
    for k in range(FRAMES):
        state = np.exp(-FRAME_STEP / transit) * state + FRAME_STEP * aif[k]
        change[..., k] = flow * state * (1.0 + 0.02 * np.sin(7 * points[2]))
    away = np.abs(points - np.array([0.15, -0.1, 0.05])[:, None, None, None]).max(axis=0)
    artery = away < 0.2
    change[artery] = (aif * rng.uniform(0.3, 0.7, (int(artery.sum()), 1))).astype(np.float32)
    change[away < 0.08] = 3.0 * aif
    signal = np.where(mask, 600.0, 5.0)[..., None]
    series = {
        name: (signal * np.exp(-time * change) + 3.0 * rng.normal(size=change.shape)).clip(0.1)
        for name, time in (("dynamic", 0.03), ("second_dynamic", 0.05))
    }
    noisy = change + 0.1 * rng.normal(size=change.shape)
    return {
        **series, "dr2star": noisy, "aif": aif, "aif_mask": artery & mask, "frame_times": tuple(times),
        "s0": signal[..., 0] * rng.choice((0.3, 1.0), mask.shape),
        "dr2star_sd": np.where(mask, 0.1 + 0.02 * points[0], 0.0), "echo_time": 0.03, "second_echo_time": 0.05,
        "saturated": np.where(away < 0.08, 3.0, 0.0), "arrival": ARRIVAL,
    }  # fmt: skip


FLIP_ANGLES, REPETITION_TIME = (4.0, 4.0, 22.0, 22.0), 0.024


def _spoiled(mask: Image, points: Image, total_field: Image, seed: int) -> dict[str, Any]:
    """Return spoiled gradient echoes at two flip angles with two echoes each, and B1."""
    rng = np.random.default_rng(seed + 300)
    times = (0.003, 0.011, 0.003, 0.011)
    b1 = 1.0 + 0.1 * points[0] - 0.1 * points[1] ** 2
    r1, r2star = 1.0 + 0.3 * points[2], 25.0 + 8.0 * points[1]
    amplitude = np.where(mask, 800.0, 10.0)
    e1 = np.exp(-REPETITION_TIME * r1)
    volumes = []
    for flip, time in zip(FLIP_ANGLES, times, strict=True):
        angle = b1 * np.radians(flip)
        size = amplitude * np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle)) * np.exp(-r2star * time)
        volumes.append(np.abs(size + 0.3 * rng.normal(size=mask.shape)))
    return {
        **_transmit(amplitude, b1), **_spin_echoes(amplitude, r2star, rng),
        **_balanced(amplitude, points, total_field, rng),
        "r1": r1 / b1**2, "amplitude": amplitude * b1,
        "spoiled": np.stack(volumes, axis=-1), "b1": b1, "flip_angles": FLIP_ANGLES,
        "repetition_times": (REPETITION_TIME,) * len(times), "spoiled_times": times,
    }  # fmt: skip


def _transmit(amplitude: Image, b1: Image) -> dict[str, Any]:
    """Return pairs of images from which B1 is computed: actual flip-angle imaging and double angle."""
    angle = np.radians(60.0) * b1
    cosine = np.cos(angle)
    return {
        "afi_short": amplitude, "afi_long": amplitude * (1 + 5.0 * cosine) / (5.0 + cosine),
        "angle_single": amplitude * np.sin(angle), "angle_double": amplitude * np.sin(2 * angle),
    }  # fmt: skip


SPIN_ECHO_TIMES = tuple(0.012 * k for k in range(1, 7))


def _spin_echoes(amplitude: Image, r2: Image, rng: np.random.Generator) -> dict[str, Any]:
    """Return six spin echoes whose first is weakened, as by imperfect refocusing."""
    weight = np.array([0.9, 1.0, 0.97, 1.0, 0.98, 1.0])
    clean = amplitude[..., None] * weight * np.exp(-np.array(SPIN_ECHO_TIMES) * 0.6 * r2[..., None])
    noisy = np.abs(clean + 2.0 * rng.normal(size=clean.shape))
    return {"spin_echoes": noisy, "spin_echo_times": SPIN_ECHO_TIMES}


BALANCED = BalancedSettings((15.0, 45.0), (180.0, 180.0))
CYCLED = BalancedSettings((40.0,) * 4, (0.0, 90.0, 180.0, 270.0))


def _balanced(amplitude: Image, points: Image, total_field: Image, rng: np.random.Generator) -> dict[str, Any]:
    """Return balanced steady states at two flip angles, and at four phase increments."""
    tissue = {
        "r1": 1.0 + 0.3 * points[2], "r2": 14.0 + 3.0 * points[1], "amplitude": amplitude,
        "b1": np.ones_like(amplitude), "frequency": hz_per_ppm(FIELD_STRENGTH) * total_field,
    }  # fmt: skip
    made = [bssfp_signal(**tissue, settings=settings) for settings in (BALANCED, CYCLED)]
    two, four = (
        clean + 0.3 * (rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape)) for clean in made
    )
    tr = BALANCED.repetition_time
    return {
        "balanced": np.abs(two), "balanced_angles": BALANCED.flip_angles, "balanced_times": (tr,) * 2,
        "balanced_increments": BALANCED.increments, "balanced_echoes": (tr / 2,) * 2, "cycled": np.abs(four),
        "cycled_phase": np.angle(four), "cycled_increments": CYCLED.increments, "cycled_times": (tr,) * 4,
    }  # fmt: skip


def _t1_weighted(points: Image, seed: int) -> Image:
    """Return layers of three tissues with soft edges, under a receive field."""
    rng = np.random.default_rng(seed + 400)
    radius = np.sqrt((points**2).sum(axis=0)) + 0.03 * np.sin(9 * points[0]) * np.cos(7 * points[1])
    inner, outer = (1 / (1 + np.exp((radius - edge) / 0.02)) for edge in (0.55, 0.78))
    level = 60.0 + 240.0 * outer + 200.0 * inner
    level *= 1.0 + 0.1 * points[0] - 0.08 * points[2] ** 2
    return np.asarray(level + 10.0 * rng.normal(size=level.shape))
