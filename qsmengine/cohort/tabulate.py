"""Region tables as a step of a session: the maps of the steps before, on the labels of a segmentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from qsmengine.cohort.model import Step
from qsmengine.errors import InputError
from qsmengine.io.bids import BidsName
from qsmengine.io.sidecars import read_sidecar
from qsmengine.pipeline.products import DTI_PRODUCTS, QSM_PRODUCTS
from qsmengine.pipeline.staging import staged

REGION_MAPS = frozenset(
    {"chi", "chi_positive", "chi_negative", "r2star", "t2star", "fa", "md", "ad", "rd", "mk", "free_water"}
)
"""Maps that region tables hold."""


def write_table(
    step: Step, bids: Path, out: Path, scratch: Path, before: Mapping[str, Sequence[str]]
) -> list[str]:
    """Write the table of a regions step; return its files relative to the output folder.

    Parameters
    ----------
    step
        Of kind "regions".
    bids, out, scratch
        Dataset, derivatives, and folder for what is not finished.
    before
        Step -> outputs of the steps it comes after.

    Raises
    ------
    InputError
        Without a map, or for images that cannot be read or are on different grids.
    """
    from qsmengine.stats.labels import load_label_table
    from qsmengine.stats.region_files import tabulate_regions

    maps = region_maps(name for names in before.values() for name in names)
    if not maps:
        raise InputError("no map to tabulate", source=step.name, field="after")
    files = {name: out / file for name, file in maps.items()}
    units = {name: read_sidecar(path).text("Units") or "1" for name, path in files.items()}
    table = next(name for name in step.outputs if name.endswith(".tsv"))
    labels = bids / step.inputs["labels"][0]
    own_table = step.inputs.get("lut")
    lut = bids / own_table[0] if own_table else str(step.options["lut"])
    with staged(out, scratch) as folder:
        target = folder / table
        target.parent.mkdir(parents=True, exist_ok=True)
        tabulate_regions(labels, load_label_table(lut), files, target, units=units)
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def region_maps(files: Iterable[str]) -> dict[str, str]:
    """Maps of which a region table tells, among outputs: name -> file."""
    chosen: dict[str, str] = {}
    for file in files:
        name = map_of(file)
        if name in REGION_MAPS:
            chosen.setdefault(name, file)
    return chosen


def map_of(file: str) -> str:
    """Name of the map in a file of derivatives; "" where it is none."""
    if not file.endswith(".nii.gz"):
        return ""
    name = BidsName.parse(PurePosixPath(file).name)
    if name.suffix == "dwimap":
        param = name.entities.get("param", "")
        return next((key for key in DTI_PRODUCTS if key.replace("_", "") == param), "")
    told: Mapping[str, str] = {key: name.entities[key] for key in ("desc",) if key in name.entities}
    return next((p.map for p in QSM_PRODUCTS if (p.suffix, dict(p.entities)) == (name.suffix, told)), "")
