"""Session with spin-echo trains: load the images, then compute and write the maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array
from qsmengine.errors import naming
from qsmengine.grid import Grid, check_same_grid
from qsmengine.io.given_maps import MISMATCHED, check_rates, check_stated_unit, check_values
from qsmengine.io.mese import MeseFile, open_mese, read_mese
from qsmengine.io.mirrored_rates import check_mirrored_rates
from qsmengine.io.nifti import read_image
from qsmengine.modalities.mese.products import PRODUCTS
from qsmengine.modalities.mese.quality import MEASURES
from qsmengine.modalities.mese.run import brain_mask, roles_of, run_mese
from qsmengine.modalities.mese.series import IMAGES, STEP
from qsmengine.modalities.mese.stages import plan_mese
from qsmengine.modalities.modality import Task
from qsmengine.modalities.rates import RateEvidence
from qsmengine.modalities.session import Computed, Request, Run, Session
from qsmengine.modalities.transmit import B1, load_b1
from qsmengine.records import record
from qsmengine.stages.relaxometry.spin_echo import echo_spacing


@record
class MeseRequest(Request):
    """Files of a session: one image per echo, or one with the echoes as volumes.

    Parameters
    ----------
    echo_times
        [s], one per volume; None: from the sidecars.
    b1
        Map of the transmit field, as a ratio to the nominal flip angle or in percent, or two images of actual
        flip-angle imaging or the double-angle method; empty: fitted.
    r2star
        Map of R2* [1/s], for R2'; None: no R2'.
    """

    echo_times: tuple[float, ...] | None = None
    b1: tuple[Path, ...] = ()
    r2star: Path | None = None

    @property
    def extra(self) -> list[Path]:
        """Input files in addition to the images."""
        return [*super().extra, *self.b1, *([] if self.r2star is None else [self.r2star])]

    @classmethod
    def of(cls, task: Task) -> MeseRequest:
        """Return the request of a cohort's task."""
        return cls(
            task.all(IMAGES), task.out, mask=task.one("mask"), force=task.force, name=task.name,
            writing=task.writing, b1=task.all(B1),
        )  # fmt: skip


def checked_times(file: MeseFile) -> MeseFile:
    """Return an opened series; raises InputError, naming it, if its echoes are not those of one train."""
    with naming(file.group.files[0].path):
        echo_spacing(file.echo_times)
    return file


def open_series(request: MeseRequest) -> MeseFile:
    """Read headers and sidecars of a request's images."""
    return checked_times(open_mese(request.images, echo_times=request.echo_times))


def _compute(run: Run[MeseRequest, MeseFile]) -> Computed:
    grid, request = run.file.grid, run.request
    b1: Array | None = None
    if request.b1:
        transmit = load_b1(request.b1, grid, run.config, run.device)
        run.add(transmit.notes)
        b1 = transmit.ratio
    r2star = None if request.r2star is None else _rate(request.r2star, grid)
    loaded = read_mese(run.file)
    run.add(loaded.notes)
    mask, grid = run.brain(
        lambda: brain_mask(loaded.series, run.device), loaded.series.signal[..., 0], loaded.unknown
    )
    with naming(run.file.group.files[0].path):
        found = run_mese(
            replace(loaded.series, grid=grid), run.config, run.device, mask=mask, b1=b1, r2star=r2star,
            plan=run.plan, progress=run.progress,
        )  # fmt: skip
    if r2star is not None and request.r2star is not None:
        rates = {"r2star": r2star, "r2": to_numpy(found["r2"]), "mask": to_numpy(found["brain_mask"])}
        check_mirrored_rates(rates["r2"], rates["r2star"], rates["mask"], request.r2star)
        check_rates(rates, request.r2star, MISMATCHED)
    clipped = {"R2PrimeClippedShare": round(found.facts["clipped"], 6)} if "clipped" in found.facts else {}
    return Computed(found, RateEvidence(found), clipped)


def _rate(path: Path, grid: Grid) -> Array:
    """Return a map of R2* (x, y, z) [1/s] on `grid`; values that are not finite become 0, which is unknown."""
    check_stated_unit("r2star", "1/s", path)
    array, own, _ = read_image(path)
    check_same_grid(own, grid, path, "the images")
    check_values("r2star", "1/s", array, path)
    return np.nan_to_num(array.reshape(grid.shape), nan=0.0, posinf=0.0, neginf=0.0)


def _acquisition(file: MeseFile) -> dict[str, Any]:
    return {"EchoTime": list(file.echo_times)}


SESSION = Session(
    step=STEP,
    datatype="anat",
    products=PRODUCTS,
    request=MeseRequest.of,
    open=open_series,
    plan=plan_mese,
    compute=_compute,
    measures=MEASURES,
    roles=lambda request, _: roles_of(request.b1 or None, request.r2star),
    acquisition=_acquisition,
)
