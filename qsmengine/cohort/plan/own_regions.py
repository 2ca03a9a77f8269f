"""Planning of regions that come from the session's own T1-weighted image.

Series without labels on their grid are registered with the brain that the anatomy step extracts, one step a
series. One table then holds the maps of all series of which there is one of each kind; further series have
separate tables. A series whose registration is refused is missing from the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from qsmengine.cohort.plan.model import REGIONS, REGISTRATION, Session, Step
from qsmengine.cohort.plan.steps import Planned
from qsmengine.cohort.select.series import BORROWED
from qsmengine.io.bids import BidsName
from qsmengine.modalities.modality import Modality
from qsmengine.modalities.placed import Names
from qsmengine.modalities.registry import modality_of
from qsmengine.ops.alignment import SMALLEST

_BYTES = 4


def segmented(planned: Sequence[Planned]) -> Planned | None:
    """Return the step that segments the session's structures; None if there is none that can run."""
    for one in planned:
        modality = modality_of(one.step.kind)
        if modality is not None and modality.structures is not None and not one.step.problems:
            return one
    return None


def could_register(session: Session) -> bool:
    """Return whether a session has a segmented image, and a series that no region table covers."""
    covered = {name for step in session.steps for name in step.after}
    known = [(step, modality_of(step.kind)) for step in session.steps if not step.problems]
    return any(m is not None and m.structures is not None for _, m in known) and any(
        m is not None and m.reference is not None and step.name not in covered for step, m in known
    )


def placeable(planned: Sequence[Planned], covered: Collection[str]) -> list[Planned]:
    """Return the series that can be registered with a T1-weighted image and are not `covered` by labels."""
    return [one for one in planned if one.step.name not in covered and _has_reference(one)]


def _has_reference(one: Planned) -> bool:
    modality = modality_of(one.step.kind)
    if one.grid is None or one.step.problems or modality is None or modality.reference is None:
        return False
    roles = modality.reference.roles
    return not roles or any(role in one.step.inputs for role in roles)


def registration_steps(
    series: Sequence[Planned], anatomy: Planned, notes: list[str]
) -> list[tuple[Planned, Step]]:
    """Return every series with the step that registers it; series with few slices are noted and left out."""
    found = []
    for one in series:
        modality = modality_of(one.step.kind)
        if modality is None or one.grid is None or anatomy.grid is None:
            continue
        if min(one.grid.shape) < SMALLEST:
            notes.append(
                f"{REGISTRATION}: {one.step.name} has {min(one.grid.shape)} voxels along an axis, fewer than "
                f"{SMALLEST}; it is not registered with the T1-weighted image"
            )
            continue
        found.append((one, _registration(one.step, modality, anatomy.step, one, anatomy.grid.size)))
    return found


def _registration(step: Step, modality: Modality, anatomy: Step, one: Planned, size: int) -> Step:
    own = 0 if one.grid is None else one.grid.size
    names = Names.of(step.outputs[0], str(step.options["name"]), modality.name)
    borrowed = tuple(note for note in anatomy.notes if note.endswith(BORROWED))
    files = {"maps": step.outputs[0], "name": step.options["name"], "space": modality.name}
    return Step(
        name=f"{REGISTRATION}_{step.name}",
        kind=REGISTRATION,
        inputs=step.inputs,
        outputs=tuple(path.as_posix() for path in names),
        after=(step.name, anatomy.name),
        settings=step.settings,
        notes=borrowed,
        options={
            **step.options,
            **files,
            "borrowed": bool(borrowed),
            "series": step.kind,
            "structures": anatomy.kind,
        },
        memory=_BYTES * (2 * step.voxels + 8 * own + 6 * size),
        voxels=step.voxels,
    )


def own_region_steps(registered: Sequence[tuple[Planned, Step]], anatomy: Step, *, volumes: bool) -> list[Step]:
    """Return the steps that tabulate registered series; `volumes`: the first table holds them."""
    counts = Counter(one.step.kind for one, _ in registered)
    together = [pair for pair in registered if counts[pair[0].step.kind] == 1]
    groups = [*([together] if together else []), *([pair] for pair in registered if pair not in together)]
    return [
        _table(group, anatomy, alone=group is not together, volumes=volumes and number == 0)
        for number, group in enumerate(groups)
    ]


def _table(group: Sequence[tuple[Planned, Step]], anatomy: Step, *, alone: bool, volumes: bool) -> Step:
    registration = group[0][1]
    structures = modality_of(anatomy.kind)
    names = Names.of(*(str(registration.options[key]) for key in ("maps", "name", "space")))
    series = names.series
    entities = {"seg": anatomy.kind, "desc": "dgm"}
    if alone:
        entities["space"] = names.space
    else:
        series = BidsName({k: v for k, v in series.entities.items() if k in {"sub", "ses"}}, series.suffix)
    tables = [series.derivative("stats", extension=e, **entities).filename for e in (".tsv", ".json")]
    return Step(
        name=f"{REGIONS}_seg-{anatomy.kind}" + (registration.name.removeprefix(REGISTRATION) if alone else ""),
        kind=REGIONS,
        inputs={},
        outputs=tuple((names.folder / name).as_posix() for name in tables),
        after=(anatomy.name,),
        uses=tuple(name for one, step in group for name in (one.step.name, step.name)),
        options={
            "lut": "" if structures is None or structures.structures is None else structures.structures.lut,
            "pairs": {step.name: one.step.name for one, step in group},
            "structures": anatomy.kind,
            "volumes": volumes,
        },
        memory=_BYTES * max(0 if one.grid is None else 8 * one.grid.size for one, _ in group),
        voxels=max(0 if one.grid is None else one.grid.size for one, _ in group),
    )
