"""Atlases on the grid of a susceptibility map, as a step of a session: labels, check, and region tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qsmengine.cohort.plan.model import Step
from qsmengine.cohort.work.own_table import covered_maps
from qsmengine.cohort.work.regional_maps import region_maps
from qsmengine.cohort.work.register import ending_with, structures_of
from qsmengine.cohort.work.tasks import Place
from qsmengine.errors import InputError
from qsmengine.modalities.atlases import MAP, AtlasNames
from qsmengine.pipeline.outputs.staging import staged
from qsmengine.stats.labels.tables import (
    ATLASES,
    DATA,
    LABEL_TABLES,
    atlas_image,
    load_label_table,
    template_image,
)
from qsmengine.stats.regions.files import write_region_table
from qsmengine.stats.regions.weighted import Structure, weighted_region_table


def write_atlases(step: Step, place: Place, before: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Warp the template to the head of a series and tabulate its maps; return files and notes.

    Raises
    ------
    InputError
        If the series has no susceptibility map, or an image cannot be used.
    DeviceError
        If the registration library is missing.
    """
    from qsmengine.sessions.atlas import AtlasRequest, bring_atlases

    series, anatomy, registration = step.after
    structures = structures_of(step)
    chi = region_maps(before[series]).get(MAP)
    if chi is None:
        raise InputError("has no susceptibility map, which the atlas needs", source=series)
    atlases = [str(name) for name in step.options["atlases"]]  # type: ignore[attr-defined]
    maps, raw, space = (str(step.options[key]) for key in ("maps", "name", "space"))
    names = AtlasNames.of(maps, raw, space, atlases)
    request = AtlasRequest(
        chi=place.out / chi,
        image=place.out / ending_with(before[anatomy], structures.image),
        structures=place.out / ending_with(before[anatomy], structures.labels),
        matrix=place.out / ending_with(before[registration], "xfm.txt"),
        template=template_image(),
        atlases={name: atlas_image(name) for name in ATLASES},
        tables={name: DATA / LABEL_TABLES[name] for name in ATLASES},
        wanted=tuple(atlases),
        notes=step.notes,
    )
    with staged(place.out, place.scratch) as folder:
        found, notes = bring_atlases(request, names, folder)
        for atlas, nuclei in found.items():
            covered, units = covered_maps(before[series], place.out, nuclei.on)
            rows = {
                n: Structure(nuclei.voxels[n], nuclei.volumes[n], nuclei.problems[n]) for n in nuclei.voxels
            }
            table = weighted_region_table(rows, load_label_table(atlas), covered)
            path = folder / names.regions(atlas)
            write_region_table(table, path, units=units, segmentation=names.labels(atlas).name)
        return [path.as_posix() for path in names], notes
