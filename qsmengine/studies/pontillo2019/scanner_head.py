"""Raw images of a participant as from a scanner, in a BIDS dataset, with the regional truth.

Gradient echoes, diffusion and bolus series are those of the level raw. T1-weighted and FLAIR images have
other voxels, and the head lies elsewhere in each.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qsmengine.io import write_json
from qsmengine.io.bids import BIDS_VERSION
from qsmengine.phantom.anatomy import Anatomy
from qsmengine.phantom.drawing import Scene
from qsmengine.phantom.dsc_drawing import DRAWING as DSC
from qsmengine.phantom.dwi import DRAWING as DWI
from qsmengine.phantom.gre import DRAWING as GRE
from qsmengine.phantom.gre import smooth_coil
from qsmengine.phantom.labels import HeadIndex, load_head_index
from qsmengine.phantom.structural import StructuralSettings
from qsmengine.phantom.structural_drawing import DRAWING as STRUCTURAL
from qsmengine.phantom.structural_drawing import StructuralImages, draw
from qsmengine.studies.pontillo2019.atrophy import participant_head, tissue_volumes
from qsmengine.studies.pontillo2019.published import STRUCTURES
from qsmengine.studies.pontillo2019.raw import RawSettings, regional
from qsmengine.studies.pontillo2019.raw_head import RawParticipant, control_mean, imaged

BRAIN = ("NBV", "NGMV", "NWMV")
EDGE = 1.0
"""Voxel edge of T1-weighted and FLAIR images [mm]."""
SNR = 30.0
"""Of these images, in white matter."""
TURN, SHIFT = 8.0, 6.0
"""Largest rotation [degrees] and shift [mm] of the head about and along each axis before each of them."""
HEAD = 1


def draw_participant(
    values: Mapping[str, float], settings: RawSettings, number: int, root: Path
) -> dict[str, float | None]:
    """Write the raw images of participant `number` into the dataset `root`; return the regional truth.

    `values` are named as in the cohort. Volumes and lesion load are [mL] on the scale of the paper.
    """
    seed = np.random.SeedSequence([2019, settings.seed, number])
    shape, scans = seed.spawn(2)
    bundled = load_head_index(HEAD)
    head = participant_head(bundled, values, shape)
    person = imaged(
        head, values, voxel_size=settings.voxel_size, snr=settings.snr, seed=settings.seed * 1000 + number,
        head_number=HEAD,
    )  # fmt: skip
    label = f"{number:03d}"
    folder, entities = root / f"sub-{label}", {"sub": label}
    shutil.rmtree(folder, ignore_errors=True)
    _describe(root)
    facts: dict[str, object] = {"SNR": settings.snr}
    GRE.write(person.gre, folder, entities, facts)
    if person.dwi is not None:
        DWI.write(person.dwi, folder, entities, facts)
    DSC.write(person.perfusion.series, folder, entities, facts)
    for suffix, source in zip(("T1w", "FLAIR"), scans.spawn(2), strict=True):
        image = structural_images(person.anatomy, (suffix,), np.random.default_rng(source))
        STRUCTURAL.write(image, folder, entities, {"SNR": SNR})
    return _truth(person, head, bundled)


def structural_images(
    anatomy: Anatomy, suffixes: tuple[str, ...], rng: np.random.Generator
) -> StructuralImages:
    """Return images of the head, any of T1w and FLAIR, together in another pose, drawn with `rng`."""
    turn, shift = (tuple(rng.uniform(-most, most, 3).tolist()) for most in (TURN, SHIFT))
    settings = StructuralSettings(suffixes, (EDGE, EDGE, EDGE), turn, shift)
    scene = Scene(anatomy, {}, smooth_coil(anatomy.grid, rng), anatomy.grid, SNR, rng, ())
    return draw(scene, settings)[0]


def _describe(root: Path) -> None:
    """Write the description of the dataset, which all participants share."""
    content = {"Name": "Virtual cohort", "BIDSVersion": BIDS_VERSION, "DatasetType": "raw"}
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "dataset_description.json").is_file():
        write_json(root / "dataset_description.json", content)


def _truth(person: RawParticipant, head: HeadIndex, bundled: HeadIndex) -> dict[str, float | None]:
    """Return the truth of every metric; chi is relative to its mean in the brain."""
    chi = person.truth["chi"] - person.truth["chi"][person.mask].mean(dtype=np.float64)
    found = regional(person, {**person.truth, "chi": chi})
    found |= regional(person.perfusion, {"rCBV": person.perfusion.truth["rCBV"]})
    found |= {f"volume_{s}": person.volumes[s] * control_mean(f"volume_{s}") for s in STRUCTURES}
    own, native = tissue_volumes(head), tissue_volumes(bundled)
    found |= {name: own[name] / native[name] * control_mean(name) for name in BRAIN}
    return {**found, "lesion_load": own["lesion_load"]}
