"""Modality with the standard session: read the images, run the stages, write the maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsmengine.backend.device import Device, on_device
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.io.header import check_stored_size, read_header
from qsmengine.io.nifti import read_image
from qsmengine.modalities.modality import Modality, Opened, Opening, Parts, Task
from qsmengine.modalities.outputs import plan_outputs
from qsmengine.modalities.series import Series, by_series
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.maps import Described, Naming, product_files
from qsmengine.pipeline.outputs.products import Product
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
    **more: Any,
) -> Modality:
    """Describe a modality with one image per series, (x, y, z[, volume]), passed to its first stage as "image".

    Parameters are those of :class:`qsmengine.modalities.modality.Modality`, `more` included; `stages` run in
    their order.
    """
    session = _SimpleSession(step, datatype, tuple(stages), tuple(products))
    return Modality(
        name=name,
        step=step,
        title=title,
        data=data,
        absent=f"no image with the suffix {' or '.join(suffixes)}",
        datatype=datatype,
        suffixes=tuple(suffixes),
        queries={name: tuple(suffixes)},
        group=session.group,
        open=_open,
        plan=session.plan,
        files=session.files,
        reconstruct=session.reconstruct,
        products=session.products,
        **more,
    )


@dataclass(frozen=True)
class _SimpleSession:
    """Session of a modality: one image in, the maps of the stages out."""

    step: str
    datatype: str
    stages: tuple[Use, ...]
    products: tuple[Product, ...]

    def group(self, files: Sequence[BidsFile]) -> tuple[list[Series], list[str]]:
        """Return one series per image."""
        members = [group[0] for group in by_series(files, set())]
        return [Series(self.step, file.name, {IMAGE: (file.path,)}) for file in members], []

    def plan(self, config: Config, grid: Grid, volumes: int, _roles: frozenset[str]) -> Plan:
        """Plan the stages."""
        return plan_uses(config, self.stages, {IMAGE}, grid, volumes)

    def files(self, plan: Plan, stem: BidsName) -> list[Path]:
        """Return every output of a plan."""
        return product_files(plan, self._naming(stem), self.products, self.step)

    def reconstruct(
        self, task: Task, config: Config, device: Device, dry_run: bool, progress: ProgressCallback | None
    ) -> Outcome:
        """Run a task; with `dry_run`, only plan it."""
        return self._run(task, config, device, dry_run=dry_run, progress=progress)

    @on_device
    def _run(
        self, task: Task, config: Config, device: Device, *, dry_run: bool, progress: ProgressCallback | None
    ) -> Outcome:
        path = task.files[IMAGE][0]
        image, grid, _ = read_image(path)
        plan = self.plan(config, grid, image.shape[3] if image.ndim == 4 else 1, frozenset())
        outputs = plan_outputs(
            plan, self.step, self.products, task.out, self._naming(BidsName.parse(task.name)), [path],
            force=task.force, dry_run=dry_run,
        )  # fmt: skip
        check_memory(plan, device)
        notes = [*plan.notes, *outputs.notes]
        if dry_run:
            return Outcome(plan, outputs.files, notes)
        result = run_plan(plan, {IMAGE: device.asarray(image)}, grid, device, progress, kind=RunResult)
        written = outputs.write(result, Described(self.step, config, device, [path]), task.writing)
        return Outcome(plan, written, notes, result)

    def _naming(self, stem: BidsName) -> Naming:
        return Naming(stem, datatype=self.datatype)


def _open(parts: Parts, _: Opening) -> Opened:
    path: Path = parts[IMAGE][0]
    try:
        header, grid = read_header(path)
        check_stored_size(header)
    except InputError as error:
        return Opened(None, problems=(str(error),))
    return Opened(grid, header.shape[3] if len(header.shape) > 3 else 1)
