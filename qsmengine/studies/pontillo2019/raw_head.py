"""Raw images of a participant of the virtual cohort, with the truth: gradient echoes, diffusion, perfusion.

The deep grey matter of the bundled head is scaled to the volumes of the participant, and its susceptibility,
tensors and blood volume are set to the values of the participant; fields and signals are computed by the
phantom. The values of the bundled head are those of the average control::

    volume = V_head * value / mean(HC)          chi = chi_head + (value - mean(HC))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from qsmengine.data import Array, DwiSeries, GreSeries
from qsmengine.grid import Vector3
from qsmengine.ops.domain import bounding_box
from qsmengine.phantom.anatomy import Anatomy, anatomy_of, average_tissue
from qsmengine.phantom.dwi import TensorTruth, dwi_signal, head_tensors, s0_image, tensor_truth
from qsmengine.phantom.gre import smooth_coil
from qsmengine.phantom.labels import HeadIndex, load_head_index
from qsmengine.phantom.resample import FloatImage, Resampler
from qsmengine.phantom.scan import Scan, scanned_fields
from qsmengine.phantom.scheme import default_scheme
from qsmengine.phantom.tissue import tissue_maps, tissue_table
from qsmengine.studies.pontillo2019.published import STRUCTURES, rows
from qsmengine.studies.pontillo2019.raw_perfusion import RawPerfusion, raw_perfusion

ECHO_TIMES = (0.0074, 0.0221)
"""Echo times of the double-echo sequence [s]; assumed."""
FIELD_STRENGTH = 3.0
AXIAL: Vector3 = (0.0, 0.0, 1.0)
_REPLACEABLE = frozenset({"white_matter", "cortex"})
_MARGIN = 6


@dataclass(frozen=True)
class RawParticipant:
    """Signals and truth of one participant.

    Parameters
    ----------
    gre, dwi
        Series; dwi is None for participants without diffusion MRI.
    labels, mask
        (x, y, z): structures (1 to 4, in the order of `STRUCTURES`) and brain.
    truth
        "chi" [ppm], "MD" [1e-3 mm^2/s], "FA" [1]: (x, y, z).
    volumes
        Structure -> volume on the label grid relative to that of the bundled head [1].
    perfusion
        Bolus series on its own grid, with its truth.
    anatomy
        Labels and tissue on the label grid.
    """

    gre: GreSeries
    dwi: DwiSeries | None
    labels: npt.NDArray[np.int16]
    mask: npt.NDArray[np.bool_]
    truth: Mapping[str, Array]
    volumes: Mapping[str, float]
    perfusion: RawPerfusion
    anatomy: Anatomy


def control_mean(metric: str) -> float:
    """Return the mean of the controls, printed or assumed."""
    for row in rows("table2"):
        if row["metric"] == metric:
            return float(row["HC_mean"])
    return next(float(row["mean"]) for row in rows("assumed") if row["metric"] == metric)


def raw_participant(
    values: Mapping[str, float], *, voxel_size: float, snr: float, seed: int, head_number: int = 1
) -> RawParticipant:
    """Simulate a participant with these regional values, named as in the cohort; MD and FA may be NaN."""
    head = with_structures(load_head_index(head_number), values)
    return imaged(head, values, voxel_size=voxel_size, snr=snr, seed=seed, head_number=head_number)


def imaged(
    head: HeadIndex, values: Mapping[str, float], *, voxel_size: float, snr: float, seed: int, head_number: int
) -> RawParticipant:
    """Simulate the images of a head made from a bundled one; `values` as for :func:`raw_participant`."""
    texture, diffusion = np.random.SeedSequence([2019, seed]).spawn(2)
    anatomy = participant_anatomy(head, values, texture)
    fine, scan = anatomy.fine, _scanned(anatomy, voxel_size)
    gre = scan.series(ECHO_TIMES, snr, (2019, seed, 2))
    names = np.array([STRUCTURES.index(r.name) + 1 if r.name in STRUCTURES else 0 for r in head.regions])
    majority = scan.sampler.resampler.majority(head.index)
    truth: dict[str, Array] = {"chi": scan.chi()}
    dwi = None
    if np.isfinite(values["MD_thalamus"]):
        dwi, found = _diffusion(scan, values, snr, np.random.default_rng(diffusion))
        truth |= {"MD": found.md * np.float32(1e3), "FA": found.fa}
    perfusion = raw_perfusion(
        head, fine, values, voxel_size=voxel_size, field_strength=FIELD_STRENGTH, snr=snr,
        seeds=np.random.SeedSequence([2019, seed, 1]),
    )  # fmt: skip
    bundled = load_head_index(head_number)
    volumes = {s: float(_inside(head, s).sum() / _inside(bundled, s).sum()) for s in STRUCTURES}
    labels = names[majority].astype(np.int16)
    return RawParticipant(gre, dwi, labels, scan.mask, truth, volumes, perfusion, scan.anatomy)


def participant_anatomy(
    head: HeadIndex, values: Mapping[str, float], texture: np.random.SeedSequence
) -> Anatomy:
    """Return labels and tissue of a head on its own grid, with the susceptibilities of `values`."""
    fine = tissue_maps(head, FIELD_STRENGTH, texture=0.05, rng=np.random.default_rng(texture))
    chi = fine.chi.copy()
    for structure in STRUCTURES:
        shift = 1e-3 * (values[f"chi_{structure}"] - control_mean(f"chi_{structure}"))
        chi[_inside(head, structure)] += np.float32(shift)
    return anatomy_of(head, replace(fine, chi=chi), FIELD_STRENGTH, head.grid.voxel_size)


def _scanned(anatomy: Anatomy, voxel_size: float) -> Scan:
    """Return the head in voxels of `voxel_size` [mm] that are cut out of k-space, without filter."""
    fields, _ = scanned_fields(anatomy, AXIAL, splines=True)
    return Scan(anatomy, fields, (voxel_size,) * 3, AXIAL, flat=1.0, splines=True)


def _diffusion(
    scan: Scan, values: Mapping[str, float], snr: float, rng: np.random.Generator
) -> tuple[DwiSeries, TensorTruth]:
    """Return diffusion volumes of the box averages, and their truth."""
    resampler = scan.sampler.resampler
    tissue = average_tissue(scan.anatomy.fine, resampler)
    tensors = _tensors(scan.anatomy.head, values, resampler, scan.anatomy.fine.m0)
    b_values, b_vectors = default_scheme()
    coil = smooth_coil(scan.grid, rng)
    series = dwi_signal(
        tensors=tensors, s0=s0_image(tissue.m0, tissue.r2, coil.sensitivity), b_values=b_values,
        b_vectors=b_vectors, grid=scan.grid, snr=snr, reference=scan.reference, rng=rng,
    )  # fmt: skip
    return series, tensor_truth(tensors, scan.mask)


def _inside(head: HeadIndex, structure: str) -> npt.NDArray[np.bool_]:
    return np.isin(head.index, [i for i, r in enumerate(head.regions) if r.name == structure])


def with_structures(head: HeadIndex, values: Mapping[str, float]) -> HeadIndex:
    """Grow or shrink every structure to its volume, along the distance from white matter and cortex around it.

    Voxels are taken from, and returned to, the nearest of these tissues. Borders between two structures stay:
    atrophy leaves no white matter between putamen and pallidum.
    """
    index = head.index.copy()
    replaceable = [i for i, r in enumerate(head.regions) if r.tissue in _REPLACEABLE and r.brain]
    for number, region in enumerate(head.regions):
        if region.name not in STRUCTURES:
            continue
        own = index == number
        factor = values[f"volume_{region.name}"] / control_mean(f"volume_{region.name}")
        box = _box(own)
        part, inside = index[box], own[box]
        free = np.isin(part, replaceable)
        distance = ndimage.distance_transform_edt(~inside) - inside * ndimage.distance_transform_edt(~free)
        candidates = np.flatnonzero(inside | free)
        wanted = min(round(factor * inside.sum()), candidates.size)
        order = np.argsort(distance.ravel()[candidates], kind="stable")
        kept = np.zeros(part.shape, np.bool_)
        kept.ravel()[candidates[order[:wanted]]] = True
        nearest = ndimage.distance_transform_edt(~free, return_distances=False, return_indices=True)
        part[inside & ~kept] = part[tuple(nearest)][inside & ~kept]
        part[kept] = number
    return replace(head, index=index)


def _box(own: npt.NDArray[np.bool_]) -> tuple[slice, ...]:
    start, stop = bounding_box(own)
    return tuple(slice(max(a - _MARGIN, 0), b + _MARGIN) for a, b in zip(start, stop, strict=True))


def _tensors(head: HeadIndex, values: Mapping[str, float], resampler: Resampler, m0: FloatImage) -> FloatImage:
    """Return tensors with shifted MD and scaled anisotropic part, weighted by volume fractions."""
    tensors = head_tensors(head, resampler, m0)
    mean = tensors[..., [0, 3, 5]].mean(axis=3)
    rest = tensors.copy()
    rest[..., [0, 3, 5]] -= mean[..., None]
    spread = np.ones(mean.shape, np.float32)
    for structure in STRUCTURES:
        share = resampler.average(_inside(head, structure).astype(np.float32))
        table = tissue_table()[structure]
        md, fa = values[f"MD_{structure}"], values[f"FA_{structure}"]
        mean += share * np.float32(1e-3 * (md - table.md))
        spread += share * np.float32(_anisotropic(md, fa) / _anisotropic(table.md, table.fa) - 1.0)
    made = rest * spread[..., None]
    made[..., [0, 3, 5]] += mean[..., None]
    return made


def _anisotropic(md: float, fa: float) -> float:
    """Return the size of the anisotropic part of an axially symmetric tensor."""
    return md * fa / float(np.sqrt(3.0 - 2.0 * fa * fa))


@cache
def native_counts(voxel_size: float, head_number: int = 1) -> Mapping[str, int]:
    """Return the number of voxels per structure of the bundled head on a grid of `voxel_size` [mm]."""
    head = load_head_index(head_number)
    majority = Resampler(head.grid, (voxel_size,) * 3).majority(head.index)
    names = np.array([region.name for region in head.regions])[majority]
    return {structure: int((names == structure).sum()) for structure in STRUCTURES}
