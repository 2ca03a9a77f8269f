"""Session of a T1-weighted image: load it, compute and write maps and tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.data import Map
from qsmengine.errors import InputError, naming
from qsmengine.io.masks import load_mask
from qsmengine.io.structural import StructuralFile, open_structural, read_structural
from qsmengine.modalities.modality import Task
from qsmengine.modalities.session import Computed, Request, Run, Session
from qsmengine.modalities.t1w.flair import on_grid_of
from qsmengine.modalities.t1w.products import PRODUCTS
from qsmengine.modalities.t1w.quality import MEASURES
from qsmengine.modalities.t1w.run import AnatomyMaps, BrainVolumes, run_anatomy
from qsmengine.modalities.t1w.series import FLAIR, IMAGE, LESIONS, MASK, STEP
from qsmengine.modalities.t1w.stages import plan_anatomy
from qsmengine.ops.transforms import Volume
from qsmengine.pipeline.outputs.naming import Naming
from qsmengine.records import record

MISSING = "n/a"
SCREENED, FILLED = "FlairScreened", "FilledBeforeTissues"
"""Facts of a provenance file: lesions were searched in a FLAIR image; what was filled before tissues."""
STRUCTURE_COLUMNS = {
    "index": {"Description": "Number in the image, that of FreeSurfer"},
    "name": {"Description": "Structure"},
    "hemisphere": {"Description": "Side of the body"},
    "volume": {"Description": "Volume, voxels counted by the part that the structure covers", "Units": "mm^3"},
    "surface": {
        "Description": "Part of the surface that the intensities of the image have placed; elsewhere they do "
        "not separate the structure from its neighbour, and the surface is that of the network",
        "Units": "1",
    },
    "reliable": {
        "Description": "Whether volume and symmetry are plausible",
        "Levels": {"1": "plausible", "0": "not reliable"},
    },
    "reasons": {"Description": "Why the structure is not reliable"},
    "remarks": {
        "Description": "What is unusual about size or symmetry of a structure that is used all the same"
    },
}
VOLUME_COLUMNS = {
    "gm": {"Description": "Grey matter; deep grey matter included", "Units": "mm^3"},
    "wm": {"Description": "White matter; brain stem and lesions included", "Units": "mm^3"},
    "csf": {"Description": "Cerebrospinal fluid inside the brain mask", "Units": "mm^3"},
    "brain": {"Description": "Grey and white matter", "Units": "mm^3"},
    "mask": {"Description": "Brain mask: brain and fluid", "Units": "mm^3"},
    "brain_fraction": {"Description": "Brain over brain mask", "Units": "1"},
    "lesions": {"Description": "Lesions; n/a if no mask was given", "Units": "mm^3"},
    "screening_load": {
        "Description": "Candidates for lesions in the FLAIR image, screening only; n/a without such an image",
        "Units": "mL",
    },
    "screening_count": {
        "Description": "Number of these candidates, screening only; n/a without a FLAIR image",
        "Units": "1",
    },
    "filled": {
        "Description": "What was filled before tissues were classified",
        "Levels": {
            "lesions": "the mask of lesions that was given",
            "screening": "the candidates for lesions in the FLAIR image; no mask of lesions",
            "n/a": "nothing",
        },
    },
    "nbv": {"Description": "Brain, normalised for the size of the head", "Units": "mm^3"},
    "ngmv": {"Description": "Grey matter, normalised for the size of the head", "Units": "mm^3"},
    "nwmv": {"Description": "White matter, normalised for the size of the head", "Units": "mm^3"},
    "etiv": {"Description": "Estimated total intracranial volume", "Units": "mm^3"},
    "scaling": {
        "Description": "Factor of the normalised volumes: volume of the template over etiv",
        "Units": "1",
    },
    "size_from": {
        "Description": "Origin of etiv and scaling",
        "Levels": {
            "skull": "outer surface of the skull",
            "brain": "brain mask, because the skull is not visible; not comparable with values from the skull",
        },
    },
}


@record
class AnatomyRequest(Request):
    """Files of a session.

    Parameters
    ----------
    lesions
        Mask of lesions of white matter on the image's grid.
    flair
        FLAIR image, in which lesions are searched; on another grid it is aligned.
    fill_screened
        Fill the lesions found in it if there is no mask of lesions.
    strict
        Raise InputError for a FLAIR image that does not align or cannot be screened; if False, it is noted.
    """

    lesions: Path | None = None
    flair: Path | None = None
    fill_screened: bool = False
    strict: bool = True

    @property
    def extra(self) -> list[Path]:
        """Input files in addition to the image."""
        return [*super().extra, *(path for path in (self.lesions, self.flair) if path is not None)]

    @classmethod
    def of(cls, task: Task) -> AnatomyRequest:
        """Return the request of a cohort's task."""
        return cls(
            task.all(IMAGE), task.out, mask=task.one(MASK), force=task.force, name=task.name,
            writing=task.writing, lesions=task.one(LESIONS), flair=task.one(FLAIR), strict=False,
            fill_screened=task.one(FLAIR) is not None,
        )  # fmt: skip


def _open(request: AnatomyRequest) -> StructuralFile:
    return open_structural(request.images[0])


def _tables(naming_: Naming) -> tuple[Path, ...]:
    """Return tables and sidecars of structures and volumes; the image's sidecar describes the first table."""
    return (
        naming_.path("dseg", {"desc": "dgm"}, ".tsv"),
        naming_.path("volumes", {}, ".tsv"),
        naming_.path("volumes", {}, ".json"),
    )


def _compute(run: Run[AnatomyRequest, StructuralFile]) -> Computed:
    image = Map(read_structural(run.file), "arbitrary", run.file.grid)
    mask, lesions = (_mask(path, run) for path in (run.request.mask, run.request.lesions))
    flair, refused = _flair(run.request.flair, image, run)
    with naming(run.file.path):
        result = run_anatomy(
            image, run.config, run.device, mask=mask, lesions=lesions, flair=flair,
            fill_screened=run.request.fill_screened and not refused, strict=run.request.strict, plan=run.plan,
            progress=run.progress,
        )  # fmt: skip
    if refused or result.refused:
        result = replace(result, refused=refused or result.refused)
        run.add([f"{run.file.path.name}: FLAIR image not used: {result.refused}"])
    facts: dict[str, Any] = {} if result.volumes.screening is None else {SCREENED: True}
    if result.volumes.filled:
        facts[FILLED] = result.volumes.filled
    return Computed(result, result, facts, _texts(run.naming, result))


def _mask(path: Path | None, run: Run[AnatomyRequest, StructuralFile]) -> npt.NDArray[np.bool_] | None:
    if path is None:
        return None
    found, notes = load_mask(path, run.file.grid)
    run.add(notes)
    return found


def _flair(
    path: Path | None, image: Map, run: Run[AnatomyRequest, StructuralFile]
) -> tuple[Volume | None, str]:
    """Return the FLAIR image (x, y, z) on the grid of `image`, and why it cannot be used."""
    if path is None:
        return None, ""
    try:
        file = open_structural(path)
        with naming(path):
            found, notes = on_grid_of(image, Map(read_structural(file), "arbitrary", file.grid))
    except InputError as error:
        if run.request.strict:
            raise
        return None, error.message
    run.add(notes)
    return found, ""


def protocol(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the part of a methods section that says whether lesions were searched in a FLAIR image."""
    if not facts.get(SCREENED):
        return ()
    counted = ", which count as white matter" if facts.get(FILLED) == "screening" else ""
    return (f"with a FLAIR image, which was screened for lesions of white matter{counted}",)


def _roles(request: AnatomyRequest, _: StructuralFile) -> frozenset[str]:
    return frozenset() if request.flair is None else frozenset({FLAIR})


def _texts(naming_: Naming, result: AnatomyMaps) -> dict[Path, str | dict[str, Any]]:
    structures, volumes, dictionary = _tables(naming_)
    rows = [
        [
            s.label,
            s.name,
            s.hemisphere,
            f"{s.volume:.1f}",
            f"{s.contrast:.2f}",
            int(not s.problems),
            "; ".join(s.problems) or MISSING,
            "; ".join(s.remarks) or MISSING,
        ]
        for s in result.structures
    ]
    v = result.volumes
    numbers = [v.gm, v.wm, v.csf, v.brain, v.mask]
    load = MISSING if v.lesions is None else f"{v.lesions:.1f}"
    row = [
        *(f"{x:.1f}" for x in numbers),
        f"{v.brain / v.mask:.5f}",
        load,
        *_screened(v),
        v.filled or MISSING,
        *_normalised(v),
    ]
    return {
        structures: _table(STRUCTURE_COLUMNS, rows),
        volumes: _table(VOLUME_COLUMNS, [row]),
        dictionary: VOLUME_COLUMNS,
    }


def _screened(volumes: BrainVolumes) -> list[str]:
    """Return the cells of the lesions found in a FLAIR image."""
    found = volumes.screening
    return [MISSING] * 2 if found is None else [f"{found.load:.4f}", str(found.number)]


def _normalised(volumes: BrainVolumes) -> list[str]:
    """Return the cells of the normalised volumes and the size of the head."""
    size = volumes.size
    if size is None:
        return [MISSING] * 6
    scaled = [f"{volume * size.scaling:.1f}" for volume in (volumes.brain, volumes.gm, volumes.wm)]
    return [*scaled, f"{size.intracranial:.1f}", f"{size.scaling:.5f}", size.origin]


def _table(columns: Iterable[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


SESSION = Session(
    step=STEP,
    datatype="anat",
    products=PRODUCTS,
    request=AnatomyRequest.of,
    open=_open,
    plan=plan_anatomy,
    compute=_compute,
    measures=MEASURES,
    roles=_roles,
    tables=_tables,
    own=(),
)
ALONE = replace(
    SESSION,
    products=tuple(replace(p, entities={"desc": "brain"}) if p.map == "brain_mask" else p for p in PRODUCTS),
)
"""Session of the command: its folder has no mask of gradient echoes; its own mask is ``desc-brain_mask``."""
