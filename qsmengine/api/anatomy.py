"""Python interface to anatomy: arrays in, arrays out, without file access."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qsmengine.api.calls import device_for
from qsmengine.backend.device import Device
from qsmengine.data import Array, Map
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.modalities.t1w.flair import on_grid_of
from qsmengine.modalities.t1w.run import BrainVolumes, run_anatomy
from qsmengine.modalities.t1w.series import FLAIR
from qsmengine.modalities.t1w.stages import SECTIONS, plan_anatomy
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.anatomy.structures import StructureVolume


@dataclass(frozen=True)
class AnatomyResult:
    """Anatomy of a T1-weighted image.

    Parameters
    ----------
    gm, wm, csf
        Fractions of the tissues (x, y, z) [1].
    corrected
        Image without its receive field (x, y, z), 0 outside the brain.
    labels
        Deep grey matter (x, y, z), in the numbers of FreeSurfer.
    mask
        Brain (x, y, z) bool.
    structures
        Volume of each side of the deep grey matter [mm^3], and why it is not reliable.
    volumes
        Volumes of the tissues [mm^3].
    notes
        Decisions.
    screening
        Candidates for lesions in the FLAIR image (x, y, z) bool; None without such an image.
    """

    gm: Array
    wm: Array
    csf: Array
    corrected: Array
    labels: Array
    mask: Array
    structures: tuple[StructureVolume, ...]
    volumes: BrainVolumes
    notes: tuple[str, ...]
    screening: Array | None = None


def reconstruct_anatomy(
    image: Array,
    grid: Grid,
    *,
    mask: Array | None = None,
    lesions: Array | None = None,
    flair: Map | None = None,
    fill_screened: bool = False,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    device: str | Device | None = None,
) -> AnatomyResult:
    """Segment brain, tissues and deep grey matter of a T1-weighted image.

    Parameters
    ----------
    image
        (x, y, z), any unit; with skull, voxels of about 1 mm.
    grid
        Geometry.
    mask
        (x, y, z) brain mask; None: computed.
    lesions
        (x, y, z) mask of lesions of white matter; they are filled before tissues are classified.
    flair
        FLAIR image of the same head, searched for lesions: screening only. On another grid it is aligned.
    fill_screened
        Fill the lesions found in `flair` if `lesions` is None.
    params
        Parameters by stage: ``{"tissue": {"strength": 0.3}}``.
    device
        As in :func:`qsmengine.reconstruct_qsm`.

    Raises
    ------
    InputError
        For arrays that do not fit, and an image without a brain or without three tissues.
    UsageError
        For an unknown stage or parameter, and `fill_screened` without `flair`.
    DeviceError
        If `flair` lies on another grid and the package antspyx is not installed.
    """
    unknown = (params or {}).keys() - set(SECTIONS)
    if unknown:
        raise UsageError(f"params: unknown stage {', '.join(sorted(unknown))}")
    config = load_config(overrides={n: dict(s) for n, s in (params or {}).items()}, sections=SECTIONS)
    where = device_for(device, image)
    t1w = Map(image, "arbitrary", grid)
    moved, notes = (None, []) if flair is None else on_grid_of(t1w, flair)
    plan = plan_anatomy(config, grid, 1, frozenset() if flair is None else frozenset({FLAIR}))
    found = run_anatomy(
        t1w, config, where, mask=mask, lesions=lesions, flair=moved, fill_screened=fill_screened, plan=plan
    )
    maps = found.maps
    return AnatomyResult(
        gm=maps["gm"],
        wm=maps["wm"],
        csf=maps["csf"],
        corrected=maps["corrected"],
        labels=maps["dgm"],
        mask=maps["brain_mask"],
        structures=found.structures,
        volumes=found.volumes,
        notes=(*notes, *found.notes),
        screening=maps.get("screening"),
    )
