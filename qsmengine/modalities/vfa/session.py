"""Session with several flip angles from files to files: load, plan, run, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qsmengine.backend.device import Device, on_device, to_numpy
from qsmengine.data import Array, VfaSeries
from qsmengine.errors import InputError, naming
from qsmengine.io.bids import BidsName
from qsmengine.io.masks import load_mask
from qsmengine.io.vfa import VfaFile, load_b1, open_vfa, read_vfa
from qsmengine.modalities.outputs import plan_outputs
from qsmengine.modalities.vfa.products import PRODUCTS
from qsmengine.modalities.vfa.run import VfaMaps, brain_mask, roles_of, run_vfa
from qsmengine.modalities.vfa.series import OWN, STEP
from qsmengine.modalities.vfa.stages import plan_vfa
from qsmengine.pipeline.configuration.model import Config
from qsmengine.pipeline.outputs.maps import Described, Naming, product_files
from qsmengine.pipeline.outputs.staging import Writing
from qsmengine.pipeline.run.outcome import Outcome
from qsmengine.pipeline.run.plan import Plan, check_memory
from qsmengine.pipeline.run.progress import ProgressCallback
from qsmengine.stages.object_size import sized_grid
from qsmengine.stages.relaxometry.flip_angles import Protocol

DATATYPE = "anat"


@dataclass(frozen=True)
class VfaRequest:
    """Files of a session with several flip angles.

    Parameters
    ----------
    magnitude
        One image per flip angle and echo, or one per flip angle with its echoes as fourth dimension.
    out
        Output folder.
    flip_angles, repetition_times
        [deg] and [s], one per image, or one repetition time for all; None: from the sidecars.
    echo_times
        [s], one per volume; None: from the sidecars.
    b1
        Map of the transmit field, as a ratio to the nominal flip angle or in percent; None: 1.
    mask
        Brain mask; None: computed.
    force
        Replace earlier outputs.
    name
        BIDS name from which output names are derived; None: that of the images.
    writing
        Location of unfinished files, and whether provenance includes durations.
    """

    magnitude: tuple[Path, ...]
    out: Path
    flip_angles: tuple[float, ...] | None = None
    repetition_times: tuple[float, ...] | None = None
    echo_times: tuple[float, ...] | None = None
    b1: Path | None = None
    mask: Path | None = None
    force: bool = False
    name: str | None = None
    writing: Writing = field(default_factory=Writing)

    @property
    def extra(self) -> list[Path]:
        """Optional input files."""
        return [path for path in (self.b1, self.mask) if path is not None]


def checked_protocol(file: VfaFile) -> Protocol:
    """Return the acquisition of an opened series; raises InputError, naming the first file, if unusable."""
    try:
        return Protocol(file.flip_angles, file.repetition_times, file.echo_times)
    except InputError as error:
        raise error.at(file.files[0].path) from error


def vfa_files(plan: Plan, naming: Naming) -> list[Path]:
    """Return every file that a session writes, relative to its output folder."""
    return product_files(plan, naming, PRODUCTS, STEP)


@on_device
def run_vfa_session(
    request: VfaRequest,
    config: Config,
    device: Device,
    *,
    dry_run: bool = False,
    progress: ProgressCallback | None = None,
) -> Outcome:
    """Compute the maps of a session, from files to BIDS derivatives.

    Raises
    ------
    UsageError
        Before any computation, if outputs exist (without force) or would overwrite inputs.
    InputError, DeviceError
        See :func:`qsmengine.io.vfa.open_vfa`, :func:`qsmengine.io.vfa.load_b1` and
        :func:`qsmengine.modalities.vfa.run.run_vfa`.
    """
    file = open_vfa(
        request.magnitude, flip_angles=request.flip_angles, repetition_times=request.repetition_times,
        echo_times=request.echo_times,
    )  # fmt: skip
    protocol = checked_protocol(file)
    plan = plan_vfa(config, file.grid, file.n_volumes, roles_of(protocol, request.b1))
    naming = _naming(request)
    sources = [*file.sources, *request.extra]
    outputs = plan_outputs(
        plan, STEP, PRODUCTS, request.out, naming, sources, force=request.force, dry_run=dry_run
    )
    check_memory(plan, device)
    notes = [*file.notes, *plan.notes]
    if dry_run:
        return Outcome(plan, outputs.files, [*notes, *outputs.notes])
    result = _run(request, file, config, device, notes, progress)
    acquisition = {
        "FlipAngle": list(file.flip_angles),
        "RepetitionTimeExcitation": list(file.repetition_times),
        "EchoTime": list(file.echo_times),
    }
    described = Described(STEP, config, device, sources, notes, acquisition, acquisition)
    files = outputs.write(result, described, request.writing)
    notes += [note for note in result.notes if note not in notes]
    return Outcome(plan, files, [*notes, *outputs.notes], result)


def _run(
    request: VfaRequest,
    file: VfaFile,
    config: Config,
    device: Device,
    notes: list[str],
    progress: ProgressCallback | None,
) -> VfaMaps:
    """Load the images and compute the maps; extend `notes`."""
    b1: Array | None = None
    if request.b1 is not None:
        b1, more = load_b1(request.b1, file.grid)
        notes += more
    loaded = read_vfa(file)
    notes += [note for note in loaded.notes if note not in notes]
    series = loaded.series
    mask, found = _mask(request, series, device)
    notes += found
    if loaded.unknown is not None:
        mask = mask & ~loaded.unknown
    series = replace(series, grid=sized_grid(series.grid, {"mask": mask}, device=device))
    with naming(file.files[0].path):
        return run_vfa(series, config, device, mask=mask, b1=b1, progress=progress)


def _mask(request: VfaRequest, series: VfaSeries, device: Device) -> tuple[Array, Sequence[str]]:
    if request.mask is not None:
        return load_mask(request.mask, series.grid)
    mask, note = brain_mask(series, device)
    return to_numpy(mask), [note]


def _naming(request: VfaRequest) -> Naming:
    """Return output names without the entities in which the images differ."""
    inputs = [Path(request.name)] if request.name else list(request.magnitude)
    naming = Naming.of(*inputs, datatype=DATATYPE)
    if naming.source is None:
        return naming
    source: BidsName = naming.source
    return replace(naming, source=source.derivative(source.suffix, drop=OWN))
