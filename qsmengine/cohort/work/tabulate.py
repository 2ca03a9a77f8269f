"""Region tables as a step of a session: the maps of earlier steps by the labels of a segmentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from qsmengine.cohort.plan.model import Step
from qsmengine.errors import InputError
from qsmengine.io.bids import BidsName
from qsmengine.io.sidecars import read_sidecar
from qsmengine.modalities.registry import all_products
from qsmengine.pipeline.outputs.products import Product, product_of
from qsmengine.pipeline.outputs.staging import staged


def write_table(
    step: Step, bids: Path, out: Path, scratch: Path, before: Mapping[str, Sequence[str]]
) -> list[str]:
    """Write the table of a regions step; return its files relative to the output folder.

    Parameters
    ----------
    step
        A step of the kind "regions".
    bids, out, scratch
        Dataset, derivatives, and folder for unfinished files.
    before
        Step -> outputs, for the steps that it depends on.

    Raises
    ------
    InputError
        If there is no map, or images cannot be read or are on different grids.
    """
    from qsmengine.stats.labels.tables import load_label_table
    from qsmengine.stats.regions.files import Undefined, tabulate_regions

    maps = region_maps(name for names in before.values() for name in names)
    if not maps:
        raise InputError("no map to tabulate", source=step.name, field="after")
    limits = region_limits(before.values())
    files = {name: out / file for name, file in maps.items()}
    units = {name: read_sidecar(path).text("Units") or "1" for name, path in files.items()}
    table = next(name for name in step.outputs if name.endswith(".tsv"))
    labels = bids / step.inputs["labels"][0]
    own_table = step.inputs.get("lut")
    lut = bids / own_table[0] if own_table else str(step.options["lut"])
    with staged(out, scratch) as folder:
        target = folder / table
        target.parent.mkdir(parents=True, exist_ok=True)
        where = {name: Undefined(out / file, values) for name, (file, values) in limits.items()}
        tabulate_regions(labels, load_label_table(lut), files, target, units=units, undefined=where)
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def region_maps(files: Iterable[str]) -> dict[str, str]:
    """Return the outputs that a region table holds: name -> file."""
    chosen: dict[str, str] = {}
    for file in files:
        product = map_of(file)
        if product is not None and product.region is not None:
            chosen.setdefault(product.region_name, file)
    return chosen


def region_limits(steps: Iterable[Sequence[str]]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return where the maps of :func:`region_maps` are undefined: name -> image of the same step, values.

    Maps are zero outside their mask; these zeros must not enter a region's mean.
    """
    chosen: dict[str, tuple[str, tuple[int, ...]]] = {}
    seen: set[str] = set()
    for files in steps:
        images = {product.map: (product, file) for file in files if (product := map_of(file))}
        names = {product.region_name: product for product, _ in images.values()}
        for name, product in names.items():
            if name in seen or product.region is None:
                continue
            if product.region.limit in images:
                chosen[name] = (images[product.region.limit][1], product.region.values)
        seen |= names.keys()
    return chosen


def map_of(file: str) -> Product | None:
    """Return the map that a derivative file holds; None if it holds none."""
    if not file.endswith(".nii.gz"):
        return None
    return product_of(BidsName.parse(PurePosixPath(file).name), all_products())
