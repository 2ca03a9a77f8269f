"""Planning of atlases: series with a susceptibility map that are registered with a T1-weighted image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qsmengine.cohort.plan.model import ATLAS, REGISTRATION, Step
from qsmengine.cohort.plan.steps import Planned
from qsmengine.errors import UsageError
from qsmengine.modalities.atlases import MAP, AtlasNames
from qsmengine.modalities.registry import missing_reason, modality_of
from qsmengine.pipeline.configuration.messages import near
from qsmengine.stats.labels.tables import ATLASES

_BYTES = 4
_WORK = 256 << 20
"""Memory of the warp [bytes]."""


def check_atlases(atlases: Iterable[str], kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the names of atlases, each once.

    Raises
    ------
    UsageError
        For an unknown atlas, and if the steps leave out the registration that atlases need.
    """
    found = tuple(dict.fromkeys(atlases))
    for name in found:
        if name not in ATLASES:
            raise UsageError(f"--atlas: unknown atlas {near(name, tuple(ATLASES))}")
    if found and REGISTRATION not in kinds:
        raise UsageError(f"--atlas: add {REGISTRATION} to --steps")
    return found


def atlas_steps(
    registered: Sequence[tuple[Planned, Step]], atlases: Sequence[str], notes: list[str]
) -> list[Step]:
    """Return a step for every registered series with a susceptibility map; a note if there is none."""
    steps = [_step(one, registration, atlases) for one, registration in registered if _has_map(one.step)]
    if not steps:
        notes.append(f"{ATLAS}: {missing_reason(ATLAS)}")
    return steps


def _has_map(step: Step) -> bool:
    modality = modality_of(step.kind)
    return modality is not None and any(product.region_name == MAP for product in modality.products)


def _step(one: Planned, registration: Step, atlases: Sequence[str]) -> Step:
    options = {key: registration.options[key] for key in ("maps", "name", "space", "structures")}
    names = AtlasNames.of(str(options["maps"]), str(options["name"]), str(options["space"]), atlases)
    size = 0 if one.grid is None else one.grid.size
    return Step(
        name=f"{ATLAS}_{one.step.name}",
        kind=ATLAS,
        inputs={},
        outputs=tuple(path.as_posix() for path in names),
        after=(*registration.after, registration.name),
        notes=registration.notes,
        options={**options, "atlases": list(atlases)},
        memory=_WORK + registration.memory + _BYTES * 12 * size,
        voxels=size,
    )
