"""Writing of a run's maps as files with BIDS names, units and sidecars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import Device, to_numpy
from qsmengine.grid import Grid
from qsmengine.io.atomic import write_json, write_text, write_together
from qsmengine.io.inheritance import image_stem
from qsmengine.io.nifti import write_image
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.dataset import raw_dataset_of, shared_files, source_uri, write_shared_files
from qsmengine.pipeline.outputs.naming import Naming
from qsmengine.pipeline.outputs.products import Product
from qsmengine.pipeline.outputs.provenance import describe_step, machine, session_record, software
from qsmengine.pipeline.outputs.staging import Writing, staged
from qsmengine.pipeline.run.plan import Plan
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record
from qsmengine.units import hz_per_ppm

Texts: TypeAlias = Mapping[Path, str | Mapping[str, Any]]
"""Files, relative to the output folder -> text, or the content of a JSON file."""
Order: TypeAlias = Literal["C", "F"]
SOME = (slice(None, None, 16),) * 3
"""Voxels that are looked at first."""


def product_images(naming: Naming, products: Iterable[Product]) -> list[Path]:
    """Return the image of every product, relative to the output folder."""
    return [naming.path(product.suffix, product.entities) for product in products]


def product_files(plan: Plan, naming: Naming, products: Sequence[Product], kind: str) -> list[Path]:
    """Return every file that a run will write, relative to its output folder; `kind` is the step's kind."""
    images = product_images(naming, [p for p in products if p.map in plan.kept])
    sidecars = [sidecar_of(path) for path in images]
    shared = shared_files(named=naming.source is not None)
    return [*sorted(images), *sorted(sidecars), provenance_path(naming, kind), *shared]


@record
class Described:
    """Description of a run for sidecars and provenance, in addition to its maps.

    Parameters
    ----------
    kind
        Kind of the step, for the name of the provenance file.
    config, device
        Configuration and device of the run.
    sources
        Input files.
    notes
        Decisions made in the session.
    acquisition
        Acquisition parameters that the images do not contain: echo times, b-values.
    metadata
        Entries for every sidecar.
    more
        Additional entries for the sidecar of one map.
    texts
        Further files, relative to the output folder -> text, or the content of a JSON file.
    measured
        Returns such files whose content takes time to find; called while the maps are written. What it raises
        leaves no file.
    """

    kind: str
    config: Config
    device: Device
    sources: Sequence[Path]
    notes: Sequence[str] = ()
    acquisition: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    more: Callable[[RunResult, str], Mapping[str, Any]] = lambda *_: {}
    texts: Texts = field(default_factory=dict)
    measured: Callable[[], Texts] = dict


def write_products(
    result: RunResult,
    target: str | Path,
    naming: Naming,
    products: Sequence[Product],
    described: Described,
    writing: Writing,
    ignored: Callable[[], Iterable[str]],
) -> list[Path]:
    """Write the maps of a run with sidecars, provenance and dataset description; all files or none.

    Fields are written in [Hz], other maps in the unit of the run; float32, zero outside the mask. `ignored` is
    as in :func:`~qsmengine.pipeline.outputs.dataset.write_shared_files`.

    Returns
    -------
    list of Path
        Files written.
    """
    target = Path(target)
    d = described
    shared = common_metadata(result, d.config, d.device, d.sources, timings=writing.timings)
    shared |= d.metadata
    provenance = provenance_path(naming, d.kind)
    with staged(target, writing.scratch, writing.obsolete) as folder:
        texts, record = dict(d.texts), dict[str, Any]()

        def describe() -> None:
            texts.update(d.measured())
            record.update(
                session_record(
                    result, d.config, d.device, d.sources, d.notes, d.acquisition, timings=writing.timings
                )
            )

        written = _write_maps(folder, result, naming, products, shared, d.more, describe)
        write_json(folder / provenance, record)
        written += [provenance, *write_texts(folder, texts)]
        written += write_shared_files(
            folder, target, raw_dataset_of(d.sources), ignored, named=naming.source is not None
        )
    return [target / path for path in written]


def write_texts(folder: Path, texts: Texts) -> list[Path]:
    """Write texts, or the content of JSON files, to paths below `folder`; return the paths."""
    for path, content in texts.items():
        if isinstance(content, str):
            write_text(folder / path, content)
        else:
            write_json(folder / path, dict(content))
    return list(texts)


def _write_maps(
    folder: Path,
    result: RunResult,
    naming: Naming,
    products: Sequence[Product],
    shared: Mapping[str, Any],
    more: Callable[[RunResult, str], Mapping[str, Any]],
    meanwhile: Callable[[], object],
) -> list[Path]:
    """Write images with sidecars in parallel; the next map leaves the device while others are compressed.

    `meanwhile` is called while they are written.
    """
    written: list[Path] = []
    known = "brain_mask" in result.maps
    mask = to_numpy(result["brain_mask"]) == 0 if known else np.empty(0, np.bool_)

    @cache
    def outside(*ends: tuple[int, int], order: Order) -> npt.NDArray[np.bool_]:
        return np.asarray(mask[tuple(slice(*end) for end in ends)], order=order)

    def jobs() -> Iterator[Callable[[], None]]:
        for product in products:
            if product.map not in result.maps:
                continue
            array, part, unit = _in_file_unit(result, product)
            path = naming.path(product.suffix, product.entities)
            metadata = {"Description": product.description, "Units": unit, **shared}
            metadata |= {**estimation(result, product.map), **more(result, product.map)}
            beyond = partial(outside, *((side.start, side.stop) for side in part)) if known else None
            coverage = partial(_coverage, product, array, beyond)
            description = f"{product.map} [{unit}]"
            written.extend((path, sidecar_of(path)))
            yield partial(
                write_map,
                folder / path,
                array,
                result.grid,
                metadata,
                later=coverage,
                description=description,
                part=part,
            )

    write_together(jobs(), meanwhile)
    return written


def write_map(
    path: Path,
    array: npt.NDArray[Any],
    grid: Grid,
    metadata: Mapping[str, Any],
    *,
    later: Callable[[], Mapping[str, Any]] = dict,
    description: str = "",
    intent: str | None = None,
    part: tuple[slice, ...] | None = None,
) -> None:
    """Write an image and its sidecar; `later` returns metadata that take time to find.

    `part` is that of :func:`qsmengine.io.nifti.write_image`.
    """
    write_image(path, array, grid, description=description, intent=intent, part=part)
    write_json(sidecar_of(path), {**metadata, **later()})


def sidecar_of(path: Path) -> Path:
    """Return the sidecar file of an image."""
    return path.with_name(image_stem(path.name) + ".json")


def provenance_path(naming: Naming, kind: str) -> Path:
    """Return the provenance file of a run, relative to the output folder."""
    return naming.path("prov", {"desc": kind}, ".json")


def _in_file_unit(result: RunResult, product: Product) -> tuple[npt.NDArray[Any], tuple[slice, ...], str]:
    """Return a map in the unit of its file, the part of the grid that it covers, and the unit."""
    found = result.compact(product.map)
    array = to_numpy(found.array)
    if not product.is_field:
        return array, found.part, result.units[product.map]
    factor = np.float32(hz_per_ppm(result.grid.required_field_strength))
    return np.where(np.isfinite(array), array * factor, np.float32(0)), found.part, "Hz"


def common_metadata(
    result: RunResult, config: Config, device: Device, sources: Sequence[Path], *, timings: bool = True
) -> dict[str, Any]:
    """Return the metadata that all maps of a run share."""
    return {
        "Sources": [source_uri(path) for path in sources],
        "SpatialReference": spatial_reference(sources),
        "B0Direction": [round(b, 7) for b in result.grid.b0_direction],
        "ConfigurationHash": config.digest,
        "Software": software(),
        **machine(device, timings=timings),
    }


def spatial_reference(sources: Sequence[Path]) -> str:
    """Return the image that the maps are aligned with: the first source by its BIDS URI, else "orig"."""
    uri = source_uri(sources[0])
    return uri if uri.startswith("bids:") else "orig"


def _coverage(
    product: Product, array: npt.NDArray[Any], outside: Callable[..., npt.NDArray[np.bool_]] | None
) -> dict[str, Any]:
    """Return the type of a mask, or for a map whether it is zero outside the brain mask.

    `outside` returns the voxels (x, y, z) outside the brain in an order of memory; None: there is no mask.
    Some of them show at once that a map is not restricted to the brain.
    """
    if product.suffix == "mask":
        return {"Type": "Brain" if product.map == "brain_mask" else "ROI"}
    if outside is None:
        return {"SkullStripped": False}
    beyond = outside(order="C")
    if np.any((array[SOME] != 0) & beyond[SOME]):
        return {"SkullStripped": False}
    planes = (array.T, outside(order="F").T) if array.T.flags.c_contiguous else (array, beyond)
    return {"SkullStripped": not any(np.any((plane != 0) & rest) for plane, rest in zip(*planes, strict=True))}


def estimation(result: RunResult, name: str) -> dict[str, Any]:
    """Return the sidecar entries about the step that computed a map; none for a map that was an input."""
    makers = [r for r in result.records if name in r.step.outputs.values()]
    if not makers:
        return {}
    described = describe_step(makers[0])
    entry: dict[str, Any] = {
        "EstimationAlgorithm": described["Method"],
        "EstimationReference": f"https://doi.org/{described['DOI']}",
        "Parameters": described["Parameters"],
    }
    if "Solver" in described:
        entry["Solver"] = described["Solver"]
    step = makers[0].step
    if step.chain:
        entry["PropagatedThrough"] = [
            getattr(step.params, s.section, None) or s.method.name for s in step.chain
        ]
    return entry
