"""Mask of voxels with a plausible field: one that agrees with the neighbours'.

A field is continuous. A voxel that differs by more than a limit from at least half of its face neighbours
in the mask was dephased or wrongly unwrapped, or lies in the steep field near air and bone that the mask
should exclude. In background removal and inversion a handful of such voxels, each wrong by 1 ppm, outweighs
the local field of a whole brain. They are excluded, and the test is repeated until nothing changes or
`passes` are done. At the rim of the mask, which moves inwards as voxels are excluded, the limit is
`rim_jump`; inside it is `max_jump`, wide enough for veins, calcifications and haemorrhages.

Excluding unreliable voxels is part of the consensus recommendation (QSM Consensus Organization Committee
2024, 10.1002/mrm.30006); the comparison with neighbours is specific to this engine.

It detects single voxels and thin fringes. A region that is wrong as a whole is consistent and stays.
"""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.reliability import FIELD_JUMPS
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Field, Params


class FieldJumpsParams(Params):
    """Parameters of the test for jumps."""

    max_jump: float = Field(0.3, gt=0, description="largest field difference between neighbours [ppm]")
    rim_jump: float = Field(0.1, gt=0, description="largest difference at the edge of the mask [ppm]")
    passes: int = Field(20, ge=1, description="largest number of repetitions of the test")


def field_jumps(
    total_field: Array, mask: Array, grid: Grid, params: FieldJumpsParams, *, device: Device
) -> Array:
    """Return the voxels of `mask` (x, y, z) where the total field (x, y, z) [ppm] is continuous.

    The result is empty if no two neighbouring voxels agree.
    """
    del grid  # only the order of voxels matters
    field = device.asarray(total_field)
    inside = device.asarray(device.asarray(mask, bool), np.uint8)
    for _ in range(params.passes):
        kept = device.empty(tuple(inside.shape), np.uint8)
        limits = {"rim_limit": params.rim_jump, "inner_limit": params.max_jump}
        launch(FIELD_JUMPS, device, field=field, mask=inside, kept=kept, **limits)
        unchanged = bool((kept == inside).all())
        inside = kept
        if unchanged:
            break
    return device.asarray(inside, bool)


METHODS = (
    Method(
        stage="reliability", name="field_jumps", run=field_jumps, params=FieldJumpsParams,
        inputs=("total_field", "mask"), outputs={"mask": "1"},
        summary="excludes voxels whose field differs abruptly from their neighbours'", doi="10.1002/mrm.30006",
        bytes_per_voxel=12, within_mask=True,
    ),
)  # fmt: skip
