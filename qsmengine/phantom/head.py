"""A virtual head: tissue of the label map on a chosen grid, with fields, signals and truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.data import DwiSeries, GreSeries, Map
from qsmengine.errors import UsageError
from qsmengine.grid import FloatArray, Grid, Vector3
from qsmengine.phantom import dwi, gre, structural_drawing
from qsmengine.phantom.anatomy import head_anatomy
from qsmengine.phantom.drawing import Drawing, Drawn, Scene
from qsmengine.phantom.field import FieldModel
from qsmengine.phantom.field_split import SplitFieldModel
from qsmengine.phantom.gre import smooth_coil
from qsmengine.phantom.labels import LabelArray
from qsmengine.phantom.neck import neck_field
from qsmengine.phantom.resample import FloatImage
from qsmengine.phantom.shim import Shim, fit_shim
from qsmengine.phantom.tissue import tissue_table

ECHO_TIMES = (0.004, 0.012, 0.020, 0.028)
"""Default echo times [s]."""
COIL = 1
"""Random stream of the coil."""
TRANSMIT, LARGEST_TILT = 100, 0.05
"""Random stream of the transmit field's tilt, and the largest tilt along an axis."""
NECK_LENGTH = 150.0
"""Length of the body below the label map [mm]."""
DRAWINGS = {drawing.name: drawing for drawing in (gre.DRAWING, dwi.DRAWING, structural_drawing.DRAWING)}
"""Modalities that :func:`virtual_head` knows by name."""


@dataclass(frozen=True)
class VirtualHead:
    """Signals of one head and the quantities they were simulated from.

    Parameters
    ----------
    grid
        Geometry with field strength and B0 direction.
    labels
        (x, y, z) int16, FreeSurfer / SynthSeg numbers.
    label_names
        Label -> name.
    mask
        (x, y, z) brain.
    truth
        Maps by name: `chi`, `local_field`, `background_field`, `total_field` [ppm], `r2star` [1/s], `m0`,
        with "dwi" also `fa`, `md` [mm^2/s], `v1` (along the array axes) and `s0`. chi is relative to water
        and covers the whole head; inside the mask it is that of the brain's fraction of the voxel, so bone
        in a large voxel at the rim is background. The local field is that of chi inside the
        mask; background and total field are those after shimming, and total = local + background.
    shim
        Shim field that was removed from the total field.
    images
        Series of the modalities.
    settings
        Arguments of :func:`virtual_head`.
    """

    grid: Grid
    labels: LabelArray
    label_names: Mapping[int, str]
    mask: npt.NDArray[np.bool_]
    truth: Mapping[str, Map]
    shim: Shim
    images: tuple[Drawn, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def gre(self) -> GreSeries | None:
        """Gradient echoes; None if not requested."""
        series: GreSeries | None = self.series("gre")
        return series

    @property
    def dwi(self) -> DwiSeries | None:
        """Diffusion series; None if not requested."""
        series: DwiSeries | None = self.series("dwi")
        return series

    def series(self, modality: str) -> Any:
        """Return the series of a modality; None if not requested."""
        return next((series for drawing, series in self.images if drawing.name == modality), None)


def virtual_head(
    *,
    subject: int = 1,
    features: Sequence[str] = (),
    voxel_size: Vector3 = (1.0, 1.0, 1.0),
    field_strength: float = 3.0,
    echo_times: Sequence[float] = ECHO_TIMES,
    b0_direction: Vector3 = (0.0, 0.0, 1.0),
    snr: float | None = None,
    seed: int = 0,
    modalities: Sequence[str | Drawing] = ("gre",),
    texture: float = 0.1,
    scheme: tuple[FloatArray, FloatArray] | None = None,
    deformation: float = 0.0,
    close_skull: bool = False,
) -> VirtualHead:
    """Make a virtual head.

    Parameters
    ----------
    subject
        Label map: 1, 2 or 3.
    features
        Any of "veins", "calcifications", "lesions": drawn into the brain with the seed, labels 901 to 903.
    voxel_size
        [mm]; tissue is averaged over the voxels' boxes.
    field_strength
        [T]; R2* scales with it.
    echo_times
        Echo times of the gradient echoes [s].
    b0_direction
        B0 in array axes (x right, y front, z up). The head keeps its place in the array; the affine is
        rotated, as when head and slices are tilted together in the scanner.
    snr
        In white matter, per channel of the complex signal, at the first echo and at b = 0; None: no noise.
    seed
        Seed of texture, features, coil and noise. All but the noise depend on the seed alone.
    modalities
        Any of "gre", "dwi", "t1w" (T1-weighted and FLAIR images), or drawings of other modalities.
    texture
        Relative standard deviation of tissue properties inside a label.
    scheme
        b-values [s/mm^2] and b-vectors (FSL's frame); by default 2 x b = 0 and 32 directions at b = 1000.
    deformation
        Of the label map, standard deviation [mm], drawn with the seed: another anatomy.
    close_skull
        True: bone and air begin one voxel of the label map outside the brain.

    Raises
    ------
    UsageError
        For an unknown subject, feature or modality, an SNR or a texture out of range.
    InputError
        For an impossible voxel size, field strength, direction or set of echo times.
    """
    drawings = _drawings(snr, modalities)
    anatomy = head_anatomy(
        subject=subject, features=features, voxel_size=voxel_size, field_strength=field_strength, seed=seed,
        texture=texture, deformation=deformation, close_skull=close_skull,
    )  # fmt: skip
    grid = tilted_grid(anatomy.grid, b0_direction)
    mask, tissue, chi = anatomy.mask, anatomy.tissue, anatomy.chi
    fields, shim = head_fields(tissue.chi, anatomy.brain_chi, mask, grid)
    truth = {"chi": Map(chi, "ppm", grid)}
    truth |= {name: Map(array, "ppm", grid) for name, array in fields.items()}
    truth |= {"r2star": Map(tissue.r2star, "1/s", grid), "m0": Map(tissue.m0, "1", grid)}
    coil = smooth_coil(grid, _stream(seed, COIL))
    across, along, up = _stream(seed, TRANSMIT).uniform(-LARGEST_TILT, LARGEST_TILT, 3).tolist()
    images = []
    for drawing in drawings:
        scene = Scene(
            anatomy,
            fields,
            coil,
            grid,
            snr,
            _stream(seed, drawing.stream),
            tuple(echo_times),
            scheme,
            (across, along, up),
        )
        series, maps = drawing.simulate(scene)
        images.append(Drawn(drawing, series))
        truth |= maps
    settings: dict[str, object] = {
        "VoxelSize": list(voxel_size), "MagneticFieldStrength": field_strength, "SNR": snr, "Seed": seed,
        "B0Direction": list(grid.b0_direction), "Texture": texture, "Subject": subject,
        "Features": list(features), "Deformation": deformation, "CloseSkull": close_skull,
    }  # fmt: skip
    return VirtualHead(grid, anatomy.labels, anatomy.label_names, mask, truth, shim, tuple(images), settings)


def tilted_grid(grid: Grid, b0_direction: Vector3) -> Grid:
    """Return `grid` (axes along the scanner's) rotated about its centre so that B0 is along `b0_direction`."""
    target = Grid(grid.shape, grid.affine, b0_override=b0_direction).b0_direction
    centre = (grid.affine @ [*((np.asarray(grid.shape) - 1) / 2), 1.0])[:3]
    rotation = _rotation_to_z(np.asarray(target))
    affine = grid.affine.copy()
    affine[:3, :3] = rotation @ grid.affine[:3, :3]
    affine[:3, 3] = rotation @ (grid.affine[:3, 3] - centre) + centre
    return grid.replace(affine=affine)


def head_fields(
    chi: FloatImage,
    brain_chi: FloatImage,
    mask: npt.NDArray[np.bool_],
    grid: Grid,
    *,
    neck: float = NECK_LENGTH,
    subdivision: int = 1,
    splines: bool = False,
) -> tuple[dict[str, FloatImage], Shim]:
    """Return local, background and total field (x, y, z) [ppm], the latter two after shimming.

    Parameters
    ----------
    chi
        (x, y, z) [ppm] relative to water; air surrounds the grid, and below it the lowest slice continues.
    brain_chi
        (x, y, z) [ppm]: the sources of the local field.
    mask
        Voxels in which the shim is fitted.
    grid
        Geometry.
    neck
        Length of the body below [mm].
    subdivision
        Grid points per voxel of the label map and axis; the shim is fitted to one of these points per voxel.
    splines
        Sources are B-splines, and near and far field are computed apart, instead of boxes.
    """
    kind = SplitFieldModel if splines else FieldModel
    model = kind.on_cpu(grid.shape, grid.voxel_size, grid.b0_direction)
    excess = chi - np.float32(tissue_table()["air"].chi)
    total = model.field(excess)
    if neck > 0:
        total += neck_field(excess, model, neck)
    local = model.field(brain_chi)
    shim = fit_shim(total, every(mask, subdivision), grid.voxel_size)
    total += shim.field(grid.shape, grid.voxel_size)
    return {"local_field": local, "background_field": total - local, "total_field": total}, shim


def every(mask: npt.NDArray[np.bool_], step: int) -> npt.NDArray[np.bool_]:
    """Return the voxels (x, y, z) of `mask` whose indices are multiples of `step` on every axis."""
    chosen = np.zeros_like(mask)
    lattice = (slice(None, None, step),) * 3
    chosen[lattice] = mask[lattice]
    return chosen


def _rotation_to_z(direction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the shortest rotation of the unit vector `direction` onto z."""
    axis = np.cross(direction, [0.0, 0.0, 1.0])
    cosine = float(direction[2])
    if cosine < -1.0 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + skew + skew @ skew / (1.0 + cosine))


def _drawings(snr: float | None, modalities: Sequence[str | Drawing]) -> list[Drawing]:
    """Check the arguments; return the drawings in the order of their random streams."""
    drawings = [DRAWINGS.get(one) if isinstance(one, str) else one for one in modalities]
    known = [drawing for drawing in drawings if drawing is not None]
    if len(known) < len(drawings) or isinstance(modalities, str):
        raise UsageError(f"modalities: {modalities!r} given; a list of {', '.join(DRAWINGS)} is needed")
    if snr is not None and not snr > 0:
        raise UsageError(f"snr: {snr} is not positive; leave it out for signals without noise")
    return sorted({drawing.name: drawing for drawing in known}.values(), key=lambda drawing: drawing.stream)


def _stream(seed: int, number: int) -> np.random.Generator:
    """Return an independent random stream of a seed; 0 belongs to the anatomy."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
