"""Labels and tissue of a virtual head on a chosen grid, before any field or signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from qsmengine.errors import UsageError
from qsmengine.grid import Grid, Vector3
from qsmengine.phantom.features import add_features, label_image
from qsmengine.phantom.labels import HeadIndex, LabelArray, load_head_index, region_names
from qsmengine.phantom.refine import SMOOTHING, refine_head
from qsmengine.phantom.resample import FloatImage, Resampler
from qsmengine.phantom.tissue import TissueMaps, tissue_maps, tissue_table
from qsmengine.phantom.variants import deformed_head, with_close_skull

WHITE_MATTER = (2, 41)
"""Labels in which the SNR is defined."""


@dataclass(frozen=True)
class Anatomy:
    """Labels and tissue of a head, axes along the scanner's.

    Parameters
    ----------
    grid
        Geometry with the field strength.
    labels, label_names
        (x, y, z) int16 and the name of each.
    mask
        (x, y, z) brain.
    tissue
        Maps (x, y, z); chi of the whole voxel.
    chi
        (x, y, z) [ppm]: inside the mask that of the brain's fraction of the voxel.
    head, fine, resampler
        Labels and tissue on the label grid or its subdivision, and the resampling from there to `grid`.
    shares
        Fractions of drawn features on the grid of `head`, by label.
    """

    grid: Grid
    labels: LabelArray
    label_names: Mapping[int, str]
    mask: npt.NDArray[np.bool_]
    tissue: TissueMaps
    chi: FloatImage
    head: HeadIndex
    fine: TissueMaps
    resampler: Resampler
    shares: Mapping[int, FloatImage]

    @property
    def brain_chi(self) -> FloatImage:
        """(x, y, z) [ppm]: the sources of the local field, 0 outside the mask."""
        return np.where(self.mask, self.chi, np.float32(0))

    @property
    def reference(self) -> npt.NDArray[np.bool_]:
        """(x, y, z): white matter, in which the SNR is defined."""
        return self.mask & np.isin(self.labels, WHITE_MATTER)


def head_anatomy(
    *,
    subject: int = 1,
    features: Sequence[str] = (),
    voxel_size: Vector3 = (1.0, 1.0, 1.0),
    field_strength: float = 3.0,
    seed: int = 0,
    texture: float = 0.1,
    subdivision: int = 1,
    smoothing: float = SMOOTHING,
    deformation: float = 0.0,
    close_skull: bool = False,
) -> Anatomy:
    """Return labels and tissue of a virtual head; arguments as for :func:`~qsmengine.phantom.virtual_head`.

    The label map may be deformed and its skull moved (:mod:`~qsmengine.phantom.variants`); with `subdivision`
    above 1 it is refined (:func:`~qsmengine.phantom.refine.refine_head`).

    Raises
    ------
    UsageError
        For an unknown subject or feature, a texture, subdivision or smoothing out of range.
    InputError
        For an impossible voxel size or field strength.
    """
    if not 0 <= texture <= 0.5:
        raise UsageError(f"texture: {texture} lies outside 0 .. 0.5")
    streams = np.random.SeedSequence(seed).spawn(5)
    canvas, head = _heads(subject, seed, deformation, close_skull, subdivision, smoothing)
    fine = tissue_maps(head, field_strength, texture=texture, rng=np.random.default_rng(streams[0]))
    featured = add_features(head, fine, features, field_strength, streams[4], canvas=canvas)
    return anatomy_of(featured.head, featured.tissue, field_strength, voxel_size, shares=featured.shares)


def anatomy_of(
    head: HeadIndex,
    fine: TissueMaps,
    field_strength: float,
    voxel_size: Vector3,
    *,
    shares: Mapping[int, FloatImage] | None = None,
) -> Anatomy:
    """Return the anatomy of labels and tissue on the grid of `head`, averaged over voxels of `voxel_size` [mm].

    `field_strength` [T]; `shares` are fractions of drawn features on the grid of `head`, by label.
    """
    shares = shares or {}
    resampler = Resampler(head.grid, voxel_size)
    brain = head.lookup([region.brain for region in head.regions])
    mask = resampler.average(brain) > 0.5
    tissue = average_tissue(fine, resampler)
    same = resampler.is_identity
    return Anatomy(
        grid=Grid(resampler.shape, resampler.affine, field_strength),
        labels=label_image(head, shares, resampler),
        label_names=region_names(head.regions),
        mask=mask,
        tissue=tissue,
        chi=fine.chi if same else np.where(mask, resampler.average(fine.chi * brain), tissue.chi),
        head=head,
        fine=fine,
        resampler=resampler,
        shares=shares,
    )


@lru_cache(maxsize=1)
def _heads(
    subject: int, seed: int, deformation: float, close_skull: bool, subdivision: int, smoothing: float
) -> tuple[HeadIndex, HeadIndex]:
    """Return a subject's label map and its refinement; the last ones are kept, their arrays are read-only."""
    head = load_head_index(subject)
    if deformation:
        head = deformed_head(head, deformation, np.random.default_rng(np.random.SeedSequence(seed).spawn(7)[6]))
    if close_skull:
        head = with_close_skull(head)
    fine = head if subdivision == 1 else refine_head(head, subdivision, smoothing)
    for each in (head, fine):
        each.index.setflags(write=False)
    return head, fine


def average_tissue(fine: TissueMaps, resampler: Resampler) -> TissueMaps:
    """Resample tissue: chi and m0 are averaged, the rates are averaged with the weight m0.

    The surroundings of the label map are air.
    """
    if resampler.is_identity:
        return fine
    air = np.float32(tissue_table()["air"].chi)
    m0 = resampler.average(fine.m0)
    safe: FloatImage = np.where(m0 > 0, m0, np.float32(1)).astype(np.float32)
    return TissueMaps(
        chi=resampler.average(fine.chi - air) + air,
        r2star=resampler.average(fine.r2star * fine.m0) / safe,
        r2=resampler.average(fine.r2 * fine.m0) / safe,
        m0=m0,
    )
