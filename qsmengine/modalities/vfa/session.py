"""Session with several flip angles: load the images, then compute and write the maps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array, BalancedSeries
from qsmengine.errors import naming
from qsmengine.io.b1 import B1Map
from qsmengine.io.bssfp import load_balanced
from qsmengine.io.vfa import VfaFile, open_vfa, read_vfa
from qsmengine.modalities.modality import Task
from qsmengine.modalities.rates import RateEvidence
from qsmengine.modalities.session import Computed, Request, Run, Session
from qsmengine.modalities.transmit import B1, load_b1
from qsmengine.modalities.vfa.phases import load_combined
from qsmengine.modalities.vfa.products import PRODUCTS
from qsmengine.modalities.vfa.quality import MEASURES
from qsmengine.modalities.vfa.roles import BALANCED, CYCLED, CYCLED_PHASE, FIELD, FIRST, LATER, PHASE, SINGLE
from qsmengine.modalities.vfa.run import VfaMaps, arrays_of, brain_mask, fit_arrays, roles_of
from qsmengine.modalities.vfa.series import OWN, STEP
from qsmengine.modalities.vfa.stages import plan_vfa
from qsmengine.pipeline.run.frames import Compact, is_worthwhile, mask_box
from qsmengine.records import record
from qsmengine.stages.relaxometry.flip_angles import Protocol

if TYPE_CHECKING:
    from qsmengine.modalities.gre.run import QsmResult


@record
class VfaRequest(Request):
    """Files of a session: one image per flip angle and echo, or one per flip angle with its echoes as volumes.

    Parameters
    ----------
    flip_angles, repetition_times
        [deg] and [s], one per image, or one repetition time for all; None: from the sidecars.
    echo_times
        [s], one per volume; None: from the sidecars.
    b1
        Map of the transmit field, as a ratio to the nominal flip angle or in percent, or two images of actual
        flip-angle imaging or the double-angle method; empty: 1.
    phase
        Phases of the images, in their order, for susceptibility and the field; empty: magnitudes alone.
    bssfp, bssfp_phase
        Balanced steady states, one image per flip angle and increment, and their phases [rad]; empty: no R2.
    bssfp_increments
        Phase increments [deg], one per balanced image; None: 180.
    fieldmap
        Off-resonance in Hz or ppm, which balanced magnitudes need.
    """

    flip_angles: tuple[float, ...] | None = None
    repetition_times: tuple[float, ...] | None = None
    echo_times: tuple[float, ...] | None = None
    b1: tuple[Path, ...] = ()
    phase: tuple[Path, ...] = ()
    bssfp: tuple[Path, ...] = ()
    bssfp_phase: tuple[Path, ...] = ()
    bssfp_increments: tuple[float, ...] | None = None
    fieldmap: Path | None = None

    @property
    def extra(self) -> list[Path]:
        """Input files in addition to the images."""
        field = [] if self.fieldmap is None else [self.fieldmap]
        return [*super().extra, *self.b1, *self.phase, *self.bssfp, *self.bssfp_phase, *field]

    @classmethod
    def of(cls, task: Task) -> VfaRequest:
        """Return the request of a cohort's task."""
        return cls(
            task.all(FIRST, LATER), task.out, mask=task.one("mask"), force=task.force, name=task.name,
            writing=task.writing, b1=task.all(B1), phase=task.all(PHASE), fieldmap=task.one(FIELD),
            bssfp=task.all(SINGLE, BALANCED, CYCLED), bssfp_phase=task.all(CYCLED_PHASE),
        )  # fmt: skip


def checked_protocol(file: VfaFile) -> Protocol:
    """Return the acquisition of an opened series; raises InputError, naming the first file, if unusable."""
    with naming(file.files[0].path):
        return Protocol(file.flip_angles, file.repetition_times, file.echo_times)


def open_series(request: VfaRequest) -> VfaFile:
    """Read headers and sidecars of a request's images."""
    return open_vfa(
        request.images, flip_angles=request.flip_angles, repetition_times=request.repetition_times,
        echo_times=request.echo_times,
    )  # fmt: skip


def _roles(request: VfaRequest, file: VfaFile) -> frozenset[str]:
    b1, count = request.b1 or None, len(request.bssfp)
    roles = roles_of(checked_protocol(file), b1, count, cycled=bool(request.bssfp_phase))
    return roles | {PHASE} if request.phase else roles


def _acquisition(file: VfaFile) -> dict[str, Any]:
    return {
        "FlipAngle": list(file.flip_angles),
        "RepetitionTimeExcitation": list(file.repetition_times),
        "EchoTime": list(file.echo_times),
    }


def _compute(run: Run[VfaRequest, VfaFile]) -> Computed:
    given = run.given_brain()
    box = None if given is None else mask_box(given[0])
    part = None if box is None or not is_worthwhile(box, run.file.grid.shape) else box
    with ThreadPoolExecutor(1) as pool:  # meanwhile, B1 is read
        reading = pool.submit(read_vfa, run.file, part)
        b1: B1Map | None = None
        if run.request.b1:
            b1 = load_b1(run.request.b1, run.file.grid, run.config, run.device, part)
            run.add(b1.notes)
    echoes = load_combined(run.file, run.request.phase, run.config, run.notes) if run.request.phase else None
    balanced = _balanced(run) if run.request.bssfp else None
    loaded = reading.result()
    run.add(loaded.notes)
    mask, sized = run.brain(
        partial(brain_mask, loaded.series, run.device),
        loaded.series.signal[..., 0],
        loaded.unknown,
        given,
        loaded.series.part,
    )
    grid = run.file.with_strength(sized)
    field = None
    if echoes is not None:
        from qsmengine.modalities.gre.run import run_qsm

        field = run_qsm(echoes, run.config, run.device, mask=mask, progress=run.progress)
        run.add(field.notes)
        if balanced is not None and balanced.field is None:
            balanced = replace(balanced, field=to_numpy(field.total_field))
    with naming(run.file.files[0].path):
        known = None if b1 is None else _in_brain(b1, mask)
        state = arrays_of(replace(loaded.series, grid=grid), run.device, mask=mask, b1=known, balanced=balanced)
        del reading, loaded  # so that their memory is free for what follows the fits
        found = fit_arrays(state, run.plan, grid, run.device, run.progress)
    return Computed(found if field is None else _with_chi(found, field), RateEvidence(found))


def _in_brain(b1: B1Map, mask: npt.NDArray[np.bool_]) -> Array | Compact:
    """Return B1, whose memory is used, set to 0 outside `mask` (x, y, z) like the maps that follow from it."""
    np.multiply(b1.ratio, mask if b1.part is None else mask[b1.part], out=b1.ratio)
    if b1.part is None:
        return b1.ratio
    if b1.part == mask_box(mask):
        return Compact(b1.ratio, b1.part)
    whole = np.zeros(mask.shape, np.float32)  # unknown voxels of the images have made the box smaller
    whole[b1.part] = b1.ratio
    return whole


def _with_chi(found: VfaMaps, field: QsmResult) -> VfaMaps:
    """Return the maps with susceptibility and total field of the same images."""
    maps = {**found.maps, "chi": field.chi, "total_field": field.total_field}
    units = {**found.units, **{name: field.units[name] for name in ("chi", "total_field")}}
    return replace(found, maps=maps, units=units, records=(*found.records, *field.records))


def _balanced(run: Run[VfaRequest, VfaFile]) -> BalancedSeries:
    request = run.request
    return load_balanced(
        request.bssfp, run.file.with_strength(run.file.grid), run.notes, phase=request.bssfp_phase,
        increments=request.bssfp_increments, field=request.fieldmap, field_follows=bool(request.phase),
    )  # fmt: skip


SESSION = Session(
    step=STEP,
    datatype="anat",
    products=PRODUCTS,
    request=VfaRequest.of,
    open=open_series,
    plan=plan_vfa,
    compute=_compute,
    measures=MEASURES,
    roles=_roles,
    acquisition=_acquisition,
    own=OWN,
)
