"""Modality with the standard session: read the images, run the stages, write the maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsmengine.grid import Grid
from qsmengine.io.bids import BidsFile
from qsmengine.io.header import check_stored_size, read_header
from qsmengine.io.nifti import read_image
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Task
from qsmengine.modalities.series import Series, by_series
from qsmengine.modalities.session import Computed, Request, Run, Session, opened
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.products import Product
from qsmengine.pipeline.run.execute import run_plan
from qsmengine.pipeline.run.plan import Plan, Use, plan_uses, sections_of
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
    **more: Any,
) -> Modality:
    """Describe a modality with one image per series, (x, y, z[, volume]), passed to its first stage as "image".

    Parameters are those of :class:`qsmengine.modalities.modality.Modality`, `more` included; `stages` run in
    their order.
    """

    def plan(config: Config, grid: Grid, volumes: int, _roles: frozenset[str]) -> Plan:
        return plan_uses(config, stages, {IMAGE}, grid, volumes)

    def group(files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
        members = [group[0] for group in by_series(files, set())]
        return [Series(step, file.name, {IMAGE: (file.path,)}) for file in members], []

    session = Session(
        step, datatype, tuple(products), request=_request, open=_open_image, plan=plan, compute=_compute
    )
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
        sections=sections_of(stages),
        plan=session.plan,
        files=session.files,
        reconstruct=session.reconstruct,
        products=session.products,
        **more,
    )


@dataclass(frozen=True)
class _Image:
    """Image on disk; its voxels are not read."""

    path: Path
    grid: Grid
    n_volumes: int
    notes: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[Path, ...]:
        return (self.path,)


def _request(task: Task) -> Request:
    return Request(task.files[IMAGE], task.out, force=task.force, name=task.name, writing=task.writing)


def _open_image(request: Request) -> _Image:
    return _image(request.images[0])


def _image(path: Path) -> _Image:
    header, grid = read_header(path)
    check_stored_size(header)
    return _Image(path, grid, header.shape[3] if len(header.shape) > 3 else 1)


def _compute(run: Run[Request, _Image]) -> Computed:
    image = run.device.asarray(read_image(run.file.path).array)
    return Computed(run_plan(run.plan, {IMAGE: image}, run.file.grid, run.device, run.progress, kind=RunResult))


def _open(parts: Parts, _: Opening) -> Opened:
    file = opened(lambda _: _image(parts[IMAGE][0]))
    return file if isinstance(file, Opened) else Opened(file.grid, file.n_volumes)
