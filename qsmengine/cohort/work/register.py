"""Registration of a series with the session's T1-weighted image, as a step of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qsmengine.cohort.plan.model import Step
from qsmengine.cohort.work.regional_maps import map_of
from qsmengine.cohort.work.tasks import Place, task_of
from qsmengine.errors import InputError, UsageError
from qsmengine.modalities.placed import Names, Structures
from qsmengine.modalities.registry import modality_of
from qsmengine.pipeline.configuration.config import validate
from qsmengine.pipeline.outputs.staging import staged

MASK = "brain_mask"


def register_series(
    step: Step, place: Place, before: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[str]]:
    """Register the series of a step and bring the structures to its grid; return files and notes.

    Raises
    ------
    InputError
        If an image cannot be used, or the check refuses the registration.
    DeviceError
        If the registration library is missing.
    """
    from qsmengine.sessions.placement import Placement, place_structures

    series, anatomy = step.after
    modality = modality_of(str(step.options["series"]))
    structures = structures_of(step)
    if modality is None or modality.reference is None:
        raise UsageError(f"{step.name}: nothing to register in a step {step.options['series']!r}")
    config = validate(dict(step.settings), None, modality.sections_with(sorted(step.inputs)))
    endings = structures.image, structures.labels, structures.table
    image, labels, table = (place.out / ending_with(before[anatomy], ending) for ending in endings)
    mask = next((file for file in before[series] if _is_mask(file)), None)
    placement = Placement(
        reference=modality.reference.read(task_of(step, place), config),
        description=modality.reference.description,
        image=image,
        labels=labels,
        table=table,
        sources=[place.bids / name for names in step.inputs.values() for name in names],
        mask=None if mask is None else place.out / mask,
        notes=step.notes,
        borrowed=bool(step.options.get("borrowed")),
    )
    names = Names.of(*(str(step.options[key]) for key in ("maps", "name", "space")))
    with staged(place.out, place.scratch) as folder:
        notes = place_structures(placement, names, folder)
        return [path.as_posix() for path in names], notes


def structures_of(step: Step) -> Structures:
    """Return the files of the structures that a step uses; UsageError if its modality segments none."""
    modality = modality_of(str(step.options["structures"]))
    if modality is None or modality.structures is None:
        raise UsageError(f"{step.name}: a step {step.options['structures']!r} segments no structures")
    return modality.structures


def ending_with(files: Sequence[str], ending: str) -> str:
    """Return the file with this ending; InputError if there is none."""
    found = next((file for file in files if file.endswith(f"_{ending}")), None)
    if found is None:
        raise InputError("was not written by the step that segments the session's structures", source=ending)
    return found


def _is_mask(file: str) -> bool:
    product = map_of(file)
    return product is not None and product.map == MASK
