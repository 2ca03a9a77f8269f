"""Planning of a session's region tables: pairing of maps with segmentations."""

from __future__ import annotations

from collections.abc import Sequence

from qsmengine.cohort.plan.model import Step
from qsmengine.cohort.plan.steps import Planned
from qsmengine.cohort.select.segmentations import Segmentation
from qsmengine.io.bids import BidsName
from qsmengine.modalities.registry import modality_of
from qsmengine.stats.labels.tables import LABEL_TABLES

_BYTES = 4


def region_steps(planned: Sequence[Planned], images: Sequence[Segmentation]) -> tuple[list[Step], list[str]]:
    """Return the steps that tabulate maps by region, and notes on segmentations without a map on their grid.

    One table covers all steps on the grid of a segmentation if there is one of each kind; otherwise every step
    has a separate table.
    """
    steps: list[Step] = []
    notes: list[str] = []
    labels = [image for image in images if image.role == "labels"]
    for image in labels:
        if image.lut is None:
            notes.append(f"{image.path}: no table of its labels; give --lut")
            continue
        fitting = [p for p in planned if _has_maps(p.step) and p.grid is not None and image.on(p.grid)]
        if not fitting:
            notes.append(
                f"{image.path}: not used: no series has its grid {image.grid.shape}, and nothing is resampled"
            )
            continue
        rivals = [other for other in labels if other is not image and other.lut and other.on(image.grid)]
        steps += [_step(group, image, alone=not rivals) for group in _groups([p.step for p in fitting])]
    return steps, notes


def _has_maps(step: Step) -> bool:
    """Return whether a step can run and has maps that region tables hold."""
    modality = modality_of(step.kind)
    products = () if modality is None else modality.products
    return not step.problems and any(product.region is not None for product in products)


def _groups(steps: Sequence[Step]) -> list[list[Step]]:
    kinds = [step.kind for step in steps]
    together = len(set(kinds)) == len(kinds)
    return [list(steps)] if together else [[step] for step in steps]


def _step(group: Sequence[Step], image: Segmentation, *, alone: bool) -> Step:
    first = group[0]
    name = BidsName.parse(first.outputs[0])
    extra = {"desc": "dgm"} if alone else {"seg": image.label, "desc": "dgm"}
    drop = ("echo", "part", "desc", "model", "param")
    table, dictionary = (
        (
            name.folder
            / first.outputs[0].split("/")[-2]
            / name.derivative("stats", drop=drop, extension=e, **extra).filename
        )
        for e in (".tsv", ".json")
    )
    own = first.name.removeprefix(first.kind)
    tables = [] if image.lut in LABEL_TABLES or image.lut is None else [image.lut]
    maps = [path for step in group for path in step.outputs if path.endswith(".nii.gz")]
    return Step(
        name="regions" + own + ("" if alone else f"_seg-{image.label}"),
        kind="regions",
        inputs={"labels": (image.path,), **({"lut": tuple(tables)} if tables else {})},
        outputs=(table.as_posix(), dictionary.as_posix()),
        after=tuple(step.name for step in group),
        options={"lut": image.lut},
        memory=image.grid.size * _BYTES * (len(maps) + 3),
        voxels=image.grid.size,
    )
