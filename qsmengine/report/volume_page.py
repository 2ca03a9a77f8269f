"""Interactive page of a session's volumes: NiiVue and the maps inside one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.io.header import read_header
from qsmengine.report.pages import asset, markup, safe_json, write_page
from qsmengine.report.records import ReconstructedSeries, is_key
from qsmengine.report.session_figures import rows_of
from qsmengine.report.vendor import niivue
from qsmengine.report.volumes import Layer, layers_of, overlay

LARGEST = 15_000_000
"""Largest size of a page [bytes]."""
REST = 60_000
"""Size of the page besides the library and the volumes [bytes]."""
ENDING = "_volumes.html"


def volume_file(out: Path, key: str) -> Path:
    """Return the interactive page of a session."""
    return out / f"{key}{ENDING}"


def regions_of(out: Path, one: ReconstructedSeries, image: Path) -> Path | None:
    """Return a label image of a session: one on the voxels of `image` if there is any, else the first.

    Those of the series come first, then those of the other folders of its session.
    """
    own = one.find("*dseg.nii.gz")
    session = out.joinpath(*one.session.split("_"))
    found = [*([] if own is None else [own]), *sorted(session.glob("*/*dseg.nii.gz"))]
    grid = read_header(image)[1]
    return next((path for path in found if read_header(path)[1].matches(grid)), next(iter(found), None))


def write_volume_page(out: str | Path, key: str, series: Sequence[ReconstructedSeries]) -> Path | None:
    """Write ``OUT/KEY_volumes.html`` with the maps of a session; None without any map.

    One file of at most 15 MB: layers in their windows and units, an overlay of regions or the mask, values at
    the crosshair, keyboard. It works from a file and loads nothing.

    Raises
    ------
    InputError
        For a key that is not a valid file name, and for a map that cannot be read.
    DeviceError
        When jinja2 is not installed.
    """
    out = Path(out)
    if not is_key(key):
        raise InputError(f"{key!r} is not the name of a session", source=out)
    library, script = niivue(), asset("volumes.js")
    room = LARGEST - REST - len(library.encode("utf-8"))
    layers, overlays, notes = list[Layer](), list[Layer](), list[str]()
    for one in series:
        panels = [panel for _, panel in rows_of(one) if panel.vectors is None]
        if not panels or room <= 0:
            continue
        mask = one.find("desc-brain_mask.nii.gz")
        regions = regions_of(out, one, panels[0].path)
        above = [overlay(path, mask) for path in (regions or mask,) if path is not None and not overlays]
        if above and regions is not None and regions.parent != one.folder:
            notes.append(f"regions: {regions.name}, placed by scanner coordinates")
        room -= sum(len(layer.data) for layer in above)
        found, said = layers_of(panels, mask, room)
        room -= sum(len(layer.data) for layer in found)
        layers, overlays, notes = layers + found, overlays + above, notes + said
    if not layers:
        return None
    described = {"layers": [one.described for one in layers], "overlays": [one.described for one in overlays]}
    return write_page(
        volume_file(out, key),
        "volumes.html",
        key=key,
        layers=layers,
        overlays=overlays,
        notes=notes,
        data=markup(safe_json(json.dumps(described, allow_nan=False))),
        library=markup(library),
        script=markup(script),
    )
