"""Modality with the standard session: read the images, run the stages, write the maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsmengine.backend.device import Device, on_device
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.io.header import check_stored_size, read_header
from qsmengine.io.nifti import read_image
from qsmengine.modalities.dicom import DicomSeries
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Row, Task
from qsmengine.modalities.series import Series, by_series
from qsmengine.phantom.drawing import Drawing
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.maps import Described, Naming, product_files, product_images, write_products
from qsmengine.pipeline.outputs.obsolete import obsolete_files, obsolete_note
from qsmengine.pipeline.outputs.products import Product
from qsmengine.pipeline.outputs.staging import check_not_among_inputs, check_output
from qsmengine.pipeline.run.execute import run_plan
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan, Use, check_memory, plan_uses
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.pipeline.run.results import RunResult

IMAGE = "image"
"""Role of the single image of a series, and its name among the arrays of a run."""


def simple_modality(
    *,
    name: str,
    step: str,
    title: str,
    data: str,
    datatype: str,
    suffixes: Sequence[str],
    stages: Sequence[Use],
    products: Sequence[Product],
    rows: Sequence[Row] = (),
    sentences: Mapping[str, Any] | None = None,
    references: Mapping[str, str] | None = None,
    dicom: DicomSeries | None = None,
    drawing: Drawing | None = None,
) -> Modality:
    """Describe a modality with one image per series, (x, y, z[, volume]), passed to its first stage as "image".

    Parameters are those of :class:`qsmengine.modalities.modality.Modality`; `stages` run in their order.
    """
    products, stages = tuple(products), tuple(stages)

    def group(files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
        series = [
            Series(step, members[0].name, {IMAGE: (members[0].path,)}) for members in by_series(files, set())
        ]
        return series, []

    def plan(config: Config, grid: Grid, volumes: int, _roles: frozenset[str]) -> Plan:
        return plan_uses(config, stages, {IMAGE}, grid, volumes)

    def naming(stem: BidsName) -> Naming:
        return Naming(stem, datatype=datatype)

    @on_device
    def run(
        task: Task, config: Config, device: Device, *, dry_run: bool, progress: ProgressCallback | None
    ) -> Outcome:
        path, names = task.files[IMAGE][0], naming(BidsName.parse(task.name))
        image, grid, _ = read_image(path)
        made = plan(config, grid, image.shape[3] if image.ndim == 4 else 1, frozenset())
        files = product_files(made, names, products, step)
        check_not_among_inputs(task.out, [path])
        check_output(task.out, files, [path], force=task.force or dry_run)
        old = obsolete_files(task.out, product_images(names, products), files, [path], force=task.force)
        notes = [*made.notes, *obsolete_note(old)]
        check_memory(made, device)
        if dry_run:
            return Outcome(made, [task.out / file for file in files], notes)
        state = {IMAGE: device.asarray(image)}
        result = run_plan(made, state, grid, device, progress, kind=RunResult)
        described = Described(step, config, device, [path])
        written = write_products(
            result, task.out, names, products, described, replace(task.writing, obsolete=old)
        )
        return Outcome(made, written, notes, result)

    def reconstruct(
        task: Task, config: Config, device: Device, dry_run: bool, progress: ProgressCallback | None
    ) -> Outcome:
        return run(task, config, device, dry_run=dry_run, progress=progress)

    return Modality(
        name=name,
        step=step,
        title=title,
        data=data,
        absent=f"no image with the suffix {' or '.join(suffixes)}",
        datatype=datatype,
        suffixes=tuple(suffixes),
        queries={name: tuple(suffixes)},
        group=group,
        open=_open,
        plan=plan,
        files=lambda made, stem: product_files(made, naming(stem), products, step),
        reconstruct=reconstruct,
        products=products,
        rows=tuple(rows),
        sentences=sentences or {},
        references=references or {},
        dicom=dicom,
        drawing=drawing,
    )


def _open(parts: Parts, _: Opening) -> Opened:
    path: Path = parts[IMAGE][0]
    try:
        header, grid = read_header(path)
        check_stored_size(header)
    except InputError as error:
        return Opened(None, problems=(str(error),))
    return Opened(grid, header.shape[3] if len(header.shape) > 3 else 1)
