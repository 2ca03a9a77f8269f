"""Referencing: susceptibility relative to the mean over a region.

The dipole is 0 at the centre of k-space, so chi is determined up to a constant. Subtracting the mean over a
region fixes it. The mean, standard deviation and number of voxels of that region are reported, as the
consensus recommends (Bilgic et al. 2024, 10.1002/mrm.30006).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.data import Array
from qsmengine.errors import InputError, UsageError
from qsmengine.grid import Grid
from qsmengine.stages.echoes import checked_mask
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params


class RegionMeanParams(Params):
    """Parameters of referencing."""

    region: Literal["mask", "labels", "none"] = Field(
        "mask", description="whole mask, given labels, or no referencing"
    )
    label_values: tuple[int, ...] = Field((), description="labels of the region, if region is `labels`")


class ReferenceResult(NamedTuple):
    """Referenced chi (x, y, z) [ppm]; the subtracted value [ppm]; SD [ppm] and voxel count of the region."""

    chi: Array
    value: float
    sd: float
    count: int  # type: ignore[assignment]  # in place of tuple.count


def region_mean(
    chi: Array,
    mask: Array,
    grid: Grid,
    params: RegionMeanParams,
    *,
    device: Device,
    labels: Array | None = None,
) -> ReferenceResult:
    """Subtract the mean over a region of `chi` (x, y, z) [ppm] inside `mask`; 0 outside the mask.

    With ``region="labels"`` the region consists of the voxels of the mask whose `labels` (x, y, z) are among
    ``label_values``. With ``region="none"`` the value is 0; SD and count are those of the mask.

    Raises
    ------
    UsageError
        If region is `labels` and the label image or the label values are missing.
    InputError
        For mismatched shapes, an empty mask, or labels without a voxel in the mask.
    """
    if tuple(chi.shape) != grid.shape:
        raise InputError(f"chi has shape {tuple(chi.shape)}, its grid has {grid.shape}", field="shape")
    inside = checked_mask(mask, grid, device) > 0
    region = _region(inside, labels, grid, params, device)
    return relative_to(device.asarray(chi), inside, region, device, subtract=params.region != "none")


def relative_to(
    chi: Array, inside: Array, region: Array, device: Device, *, subtract: bool = True
) -> ReferenceResult:
    """Return chi (x, y, z) [ppm] minus its mean over `region`, 0 outside `inside`; nonempty bool masks.

    Without `subtract` the value is 0; SD and count are still those of the region.
    """
    values = chi[region].astype(np.float64)
    value = float(values.mean()) if subtract else 0.0
    referenced = device.xp.where(inside, chi - np.float32(value), np.float32(0))
    return ReferenceResult(referenced, value, float(values.std()), int(values.size))


def _region(inside: Array, labels: Array | None, grid: Grid, params: RegionMeanParams, device: Device) -> Array:
    if params.region != "labels":
        return inside
    if labels is None or not params.label_values:
        raise UsageError("reference region `labels` needs a label image and label_values")
    if tuple(labels.shape) != grid.shape:
        raise InputError(f"labels have shape {tuple(labels.shape)}, the grid has {grid.shape}", field="shape")
    whole = np.float64 if labels.dtype.kind == "f" else np.int64  # a fraction or NaN is no label
    image = device.asarray(labels, whole)
    region: Array = inside & device.xp.isin(image, device.asarray(np.asarray(params.label_values), whole))
    if not bool(region.any()):
        raise InputError(
            f"no voxel of labels {list(params.label_values)} lies in the mask", field="label_values"
        )
    return region


METHODS = (
    Method(
        stage="reference", name="region_mean", run=region_mean, params=RegionMeanParams,
        inputs=("chi", "mask", "labels?"),
        outputs={"chi": "ppm", "value": "ppm", "sd": "ppm", "count": "1"},
        summary="subtract the mean over a region", doi="10.1002/mrm.30006", bytes_per_voxel=20,
    ),
)  # fmt: skip
