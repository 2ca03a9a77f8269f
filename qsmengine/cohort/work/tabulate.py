"""Region tables as a step of a session: the maps of earlier steps by the labels of a segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qsmengine.cohort.plan.model import Step
from qsmengine.cohort.work.regional_maps import region_limits, region_maps
from qsmengine.cohort.work.tasks import Place
from qsmengine.errors import InputError
from qsmengine.io.sidecars import read_sidecar
from qsmengine.pipeline.outputs.staging import staged


def write_table(step: Step, place: Place, before: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Write the table of a regions step; return its files relative to the output folder, and notes.

    Parameters
    ----------
    step
        A step of the kind "regions", with labels on the grid of its maps or of the session's anatomy.
    place
        Folders.
    before
        Step -> outputs, for the steps whose results it uses.

    Raises
    ------
    InputError
        If there is no map, or images cannot be read or are on different grids.
    """
    from qsmengine.stats.labels.tables import load_label_table
    from qsmengine.stats.regions.files import Undefined, tabulate_regions

    if "labels" not in step.inputs:
        from qsmengine.cohort.work.own_table import write_own_table

        return write_own_table(step, place, before)
    bids, out, scratch = place.bids, place.out, place.scratch
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
        return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()), []
