"""Voxels whose field can be believed: those that agree with their neighbours.

A field is continuous. A voxel that differs by more than a limit from at least half of its face neighbours
in the mask was dephased, unwrapped into the wrong turn, or lies in the steep field of air and bone that
the mask should not hold; a handful of them, each wrong by a part per million, outweighs the whole local
field of a brain in background removal and inversion. They are left out, and the test is repeated until
nothing changes or `passes` are done. At the rim of the mask, which moves inwards as voxels go, the limit is
`rim_jump`; inside it is `max_jump`, wide enough for veins, calcifications and haemorrhages.

Leaving unreliable voxels out of the mask is part of the consensus recommendation (QSM Consensus
Organization Committee 2024, 10.1002/mrm.30006); the test by neighbours is this engine's own.

A region that is wrong as a whole agrees with itself and stays; this finds single voxels and thin fringes.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from qsmengine.backend.device import Device
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.reliability import FIELD_JUMPS
from qsmengine.data import Array
from qsmengine.grid import Grid
from qsmengine.stages.method import Method
from qsmengine.stages.params import Params


class FieldJumpsParams(Params):
    """Parameters of the test for jumps."""

    max_jump: float = Field(0.3, gt=0, description="largest difference between neighbours [ppm]")
    rim_jump: float = Field(0.1, gt=0, description="the same for voxels at the edge of the mask [ppm]")
    passes: int = Field(20, ge=1, description="times the test is repeated at most")


def field_jumps(
    total_field: Array, mask: Array, grid: Grid, params: FieldJumpsParams, *, device: Device
) -> Array:
    """Mask (x, y, z) of the voxels of `mask` where the total field (x, y, z) [ppm] is continuous.

    It is empty for a field without two neighbouring voxels that agree.
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
        summary="leaves out voxels that jump against their neighbours", doi="10.1002/mrm.30006",
        bytes_per_voxel=12,
    ),
)  # fmt: skip
