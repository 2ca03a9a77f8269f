"""Diffusion-weighted signals from tensors.

S = S0 exp(-b g^T D g), g along the array axes; noise is Rician with the standard deviation of the
`reference` voxels' mean S0 over the SNR. Tensors are axially symmetric with the table's MD and FA around
an analytic direction field, then averaged over the voxel with the weight m0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import DwiSeries, Map
from qsmengine.grid import FloatArray, Grid
from qsmengine.io import write_text
from qsmengine.io.bids import BidsName
from qsmengine.ops.domain import bounding_box
from qsmengine.phantom.drawing import Drawing, Scene, TruthFile
from qsmengine.phantom.faults import FaultKind, remove
from qsmengine.phantom.gre import SIGNAL_SCALE
from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.resample import FloatImage, Resampler
from qsmengine.phantom.scheme import default_scheme
from qsmengine.phantom.tissue import region_tissues
from qsmengine.phantom.volumes import write_volume

ECHO_TIME = 0.08
"""Spin-echo time of the diffusion series [s]."""
COMPONENTS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Order of the tensor's stored components."""


@dataclass(frozen=True)
class TensorTruth:
    """Eigen-decomposition of the tensors: `fa` [1], `md` [mm^2/s], `v1` (x, y, z, 3) along the array axes."""

    fa: FloatImage
    md: FloatImage
    v1: FloatImage


def fibre_direction(position: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Unit fibre directions (n, 3) at positions (n, 3) [mm], relative to the centre of the brain.

    Left to right at the midline above the centre (corpus callosum), turning with the distance from it to
    a fan in the sagittal plane (corona radiata). Further below the centre the turn happens closer to the
    midline, so the brain stem is vertical. The field is mirror-symmetric and smooth as an axis, except on the
    midline below the centre, which no symmetric field can avoid.
    """
    x, y, z = position.T
    width = 15.0 / (1.0 + np.exp(-np.clip(z / 5.0, -50.0, 50.0))) + 0.05
    turn = 0.5 * np.pi * np.tanh(x / width)
    fan = 0.6 * y / 50.0
    side = np.sin(turn)
    return np.stack([np.cos(turn), side * np.sin(fan), side * np.cos(fan)], axis=1)


def head_tensors(head: HeadIndex, resampler: Resampler, m0: FloatImage) -> FloatImage:
    """Return tensors (x, y, z, 6) [mm^2/s] on the resampler's target, m0-weighted means over its voxels.

    Parameters
    ----------
    head
        Labels.
    resampler
        From the label grid to the target.
    m0
        (x, y, z) [1] on the label grid.
    """
    tissues = region_tissues(head)
    md = np.array([t.md * 1e-3 for t in tissues])
    fa = np.array([t.fa for t in tissues])
    spread = md * fa / np.sqrt(3.0 - 2.0 * fa**2)
    brain = np.array([region.brain for region in head.regions])[head.index]
    start, stop = bounding_box(brain)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    index = head.index[box]
    inside = np.nonzero(spread[index] > 0)
    offset = np.array([brain.nonzero()[axis].mean() for axis in range(3)]) - start
    position = (np.stack(inside, axis=1) - offset) * np.asarray(head.grid.voxel_size)
    direction = fibre_direction(position)
    delta = spread[index[inside]]
    weight = resampler.average(m0)
    isotropic = (md - spread).astype(np.float32)[head.index]
    tensors = np.zeros((*resampler.shape, 6), dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        for component, (i, j) in enumerate(COMPONENTS):
            image = isotropic * np.float32(i == j)
            part = image[box]
            part[inside] += 3.0 * delta * direction[:, i] * direction[:, j]
            mean = resampler.average(image * m0) / weight
            tensors[..., component] = np.where(weight > 0, mean, 0)
    return tensors


def tensor_truth(tensors: FloatImage, mask: npt.NDArray[np.bool_]) -> TensorTruth:
    """Return FA, MD and V1 of `tensors` (x, y, z, 6) inside `mask`; 0 outside, V1 0 where FA is 0."""
    matrices = np.empty((int(mask.sum()), 3, 3))
    for component, (i, j) in enumerate(COMPONENTS):
        matrices[:, i, j] = matrices[:, j, i] = tensors[mask, component]
    values, vectors = np.linalg.eigh(matrices)
    mean = values.mean(axis=1)
    deviation = ((values - mean[:, None]) ** 2).sum(axis=1)
    anisotropy = np.sqrt(1.5 * deviation / np.maximum((values**2).sum(axis=1), 1e-30))
    anisotropy[anisotropy < 1e-4] = 0.0
    fa, md = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.float32)
    v1 = np.zeros((*mask.shape, 3), np.float32)
    fa[mask], md[mask] = anisotropy, mean
    v1[mask] = vectors[:, :, 2] * (anisotropy > 0)[:, None]
    return TensorTruth(fa, md, v1)


def dwi_signal(
    *,
    tensors: FloatImage,
    s0: FloatImage,
    b_values: FloatArray,
    b_vectors: FloatArray,
    grid: Grid,
    snr: float | None,
    reference: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> DwiSeries:
    """Return the signals (x, y, z, volume) of a diffusion series.

    Parameters
    ----------
    tensors
        (x, y, z, 6) [mm^2/s] along the array axes, in the order of COMPONENTS.
    s0
        (x, y, z) signal at b = 0.
    b_values, b_vectors
        (volume,) [s/mm^2] and (volume, 3) in FSL's frame.
    grid
        Geometry.
    snr
        Mean of `s0` in `reference` over the standard deviation per channel; None: no noise.
    reference
        (x, y, z) voxels that define the SNR.
    rng
        Source of the noise.
    """
    signal = np.empty((*grid.shape, len(b_values)), dtype=np.float32)
    series = DwiSeries(signal, b_values, b_vectors, grid)
    sigma = 0.0 if snr is None else float(s0[reference].mean(dtype=np.float64)) / snr
    for volume, (b, g) in enumerate(zip(b_values, series.array_axis_vectors, strict=True)):
        weights = [(1 + (i != j)) * g[i] * g[j] for i, j in COMPONENTS]
        diffusion = np.tensordot(tensors, np.asarray(weights, dtype=np.float32), axes=1)
        clean = s0 * np.exp(np.float32(-b) * diffusion)
        if sigma:
            clean += rng.standard_normal(grid.shape, dtype=np.float32) * np.float32(sigma)
            clean = np.hypot(clean, rng.standard_normal(grid.shape, dtype=np.float32) * np.float32(sigma))
        signal[..., volume] = clean
    return series


def s0_image(m0: FloatImage, r2: FloatImage, sensitivity: FloatImage) -> FloatImage:
    """Signal at b = 0 [arbitrary]: m0 c exp(-R2 ECHO_TIME)."""
    return np.asarray(m0 * sensitivity * np.exp(r2 * np.float32(-ECHO_TIME)) * np.float32(SIGNAL_SCALE))


def _simulate(scene: Scene) -> tuple[DwiSeries, Mapping[str, Map]]:
    anatomy, grid = scene.anatomy, scene.grid
    b_values, b_vectors = default_scheme() if scene.scheme is None else scene.scheme
    tensors = head_tensors(anatomy.head, anatomy.resampler, anatomy.fine.m0)
    found = tensor_truth(tensors, anatomy.mask)
    s0 = s0_image(anatomy.tissue.m0, anatomy.tissue.r2, scene.coil.sensitivity)
    maps = {
        "fa": Map(found.fa, "1", grid),
        "md": Map(found.md, "mm^2/s", grid),
        "v1": Map(found.v1, "1", grid),
        "s0": Map(s0, "arbitrary", grid),
    }
    series = dwi_signal(
        tensors=tensors, s0=s0, b_values=b_values, b_vectors=b_vectors, grid=grid, snr=scene.snr,
        reference=anatomy.reference, rng=scene.rng,
    )  # fmt: skip
    return series, maps


def _add_noise(
    series: DwiSeries, snr: float, reference: npt.NDArray[np.bool_], rng: np.random.Generator
) -> DwiSeries:
    """Add Rician noise with a standard deviation of the reference's mean at b = 0 over the SNR."""
    first = series.signal[..., int(np.argmin(series.b_values))]
    sigma = np.float32(first[reference].mean(dtype=np.float64) / snr)
    shape = series.signal.shape
    real = series.signal + sigma * rng.standard_normal(shape, dtype=np.float32)
    signal = np.hypot(real, sigma * rng.standard_normal(shape, dtype=np.float32))
    return DwiSeries(signal, series.b_values, series.b_vectors, series.grid)


def _write(dwi: DwiSeries, session: Path, entities: Mapping[str, str], settings: Mapping[str, object]) -> None:
    """Write the series with its sidecar and gradient table."""
    name, folder = BidsName(entities, "dwi"), session / "dwi"
    sidecar = {"MagneticFieldStrength": dwi.grid.required_field_strength, "SimulatedSNR": settings.get("SNR")}
    write_volume(folder, name, dwi.signal, dwi.grid, sidecar)
    stem = str(folder / name.filename).removesuffix(".nii.gz")
    write_text(f"{stem}.bval", " ".join(f"{b:g}" for b in dwi.b_values) + "\n")
    rows = (" ".join(f"{value:.8f}" for value in row) for row in dwi.b_vectors.T)
    write_text(f"{stem}.bvec", "\n".join(rows) + "\n")


def _tensor_file(param: str, description: str) -> TruthFile:
    return TruthFile("dwi", "dwimap", {"model": "tensor", "param": param}, description)


DRAWING = Drawing(
    name="dwi",
    step="dti",
    stream=3,
    simulate=_simulate,
    add_noise=_add_noise,
    write=_write,
    images="dwi/*_dwi.*",
    truth={
        "fa": _tensor_file("fa", "fractional anisotropy"),
        "md": _tensor_file("md", "mean diffusivity"),
        "v1": _tensor_file("v1", "principal direction along the array axes"),
        "s0": _tensor_file("s0", "signal at b = 0"),
    },
    faults=(FaultKind("missing directions", lambda session, _: remove(session.glob("dwi/*.bvec"))),),
)
