"""``qsmengine phantom``: raw BIDS data of a virtual head, with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Option
from qsmengine.errors import UsageError
from qsmengine.modalities.registry import names

if TYPE_CHECKING:
    from qsmengine.phantom import VirtualHead
    from qsmengine.phantom.cohort import CohortSettings
    from qsmengine.phantom.drawing import Drawing


def phantom(
    *,
    out: Annotated[Path, Option("--out", "-o", help="output folder, a BIDS dataset")],
    head: Annotated[int, Option("--head", help="anatomy: head 1, 2 or 3", callback=bounds.bounded(1, 3))] = 1,
    subject: Annotated[
        str | None, Option("--subject", help="subject label [default: 01 for head 1, ...]")
    ] = None,
    feature: Annotated[
        list[str] | None,
        Option("--feature", help="features added to the brain: veins, calcifications, lesions", metavar="F..."),
    ] = None,
    voxel_size: Annotated[
        list[str] | None,
        Option(
            "--voxel-size",
            help="voxel size [mm], one or three numbers",
            metavar="MM...",
            callback=bounds.bounded(0.1, 30),
        ),
    ] = None,
    field_strength: Annotated[
        float,
        Option(
            "--field-strength",
            help="field strength [T]",
            metavar="T",
            callback=bounds.bounded(*bounds.FIELD_STRENGTH),
        ),
    ] = 3.0,
    echo_times: Annotated[
        list[str] | None,
        Option(
            "--echo-times",
            help="echo times [s] [default: 0.004 0.012 0.02 0.028]",
            metavar="S...",
            callback=bounds.echo_times,
        ),
    ] = None,
    b0_direction: Annotated[
        list[str] | None,
        Option(
            "--b0-direction",
            help="B0 direction in array axes [default: 0 0 1]",
            metavar="X Y Z",
            callback=bounds.bounded(-1e6, 1e6),
        ),
    ] = None,
    snr: Annotated[
        float | None,
        Option(
            "--snr",
            help="SNR in white matter at the first echo; default: no noise",
            callback=bounds.bounded(1e-3, 1e6),
        ),
    ] = None,
    seed: Annotated[
        int,
        Option("--seed", help="random seed of texture, coil and noise", callback=bounds.bounded(*bounds.SEED)),
    ] = 0,
    modality: Annotated[
        list[str] | None,
        Option(
            "--modality",
            help=f"images to simulate, any of {', '.join(names())} [default: {names()[0]}]",
            metavar="M...",
        ),
    ] = None,
    sessions: Annotated[
        int | None,
        Option(
            "--sessions",
            help="write a cohort of N sessions of this head",
            metavar="N",
            callback=bounds.bounded(*bounds.COUNT),
        ),
    ] = None,
    visits: Annotated[
        int, Option("--visits", help="sessions per subject of a cohort", callback=bounds.bounded(1, 1000))
    ] = 1,
    faults: Annotated[
        bool,
        Option("--faults", help="damage every fifth session; derivatives/truth/faults.json lists the faults"),
    ] = False,
    texture: Annotated[
        float,
        Option("--texture", help="relative variation within a tissue", callback=bounds.bounded(0, 1)),
    ] = 0.1,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Simulate a virtual head: gradient echoes and diffusion series as from a scanner, and the truth.

    With --sessions, write a cohort: a BIDS dataset with N sessions of the head that differ in noise. The
    defaults are then 4 mm voxels, an SNR of 100 and 13 volumes per diffusion series.
    """
    from qsmengine.cli.options.parsers import parse_numbers, parse_vector
    from qsmengine.phantom import virtual_head
    from qsmengine.phantom.head import ECHO_TIMES
    from qsmengine.phantom.scheme import default_scheme

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    single = sessions is None
    label = f"{head:02d}" if subject is None else subject
    folder = out / f"sub-{label}" if single else out
    _check(folder, force=force, subject=subject, single=single, faults=faults, visits=visits)
    edges = parse_numbers(voxel_size, "--voxel-size") or ((1.0,) if single else (4.0,))
    made = virtual_head(
        subject=head,
        features=tuple(feature or ()),
        voxel_size=parse_vector(edges * 3 if len(edges) == 1 else edges, "--voxel-size"),
        field_strength=field_strength,
        echo_times=parse_numbers(echo_times, "--echo-times") or ECHO_TIMES,
        b0_direction=parse_vector(
            parse_numbers(b0_direction, "--b0-direction") or (0.0, 0.0, 1.0), "--b0-direction"
        ),
        snr=snr if single else None,
        seed=seed,
        modalities=_drawings(modality or names()[:1]),
        texture=texture,
        scheme=None if single else default_scheme(12, b0_volumes=1),
    )
    if sessions is None:
        _write_one(made, out, label)
    else:
        from qsmengine.phantom.cohort import CohortSettings

        settings = CohortSettings(sessions, visits, 100.0 if snr is None else snr, seed, faults)
        _write_many(made, out, settings, reporter)
    reporter.say(str(folder), file=str(folder))


def _drawings(modalities: Sequence[str]) -> list[Drawing]:
    from qsmengine.modalities.registry import all_modalities
    from qsmengine.phantom.head import DRAWINGS

    known = DRAWINGS | {one.name: one.drawing for one in all_modalities() if one.drawing is not None}
    unknown = [name for name in modalities if name not in known]
    if unknown:
        raise UsageError(f"--modality {unknown[0]}: expected any of {', '.join(known)}")
    return [known[name] for name in modalities]


def _check(folder: Path, *, force: bool, subject: str | None, single: bool, faults: bool, visits: int) -> None:
    if not single and folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty: a cohort needs a new folder")
    if single and folder.exists() and not force:
        raise UsageError(f"{folder} exists already; --force replaces it")
    if single and (faults or visits > 1):
        raise UsageError("--faults and --visits require a cohort: add --sessions N")
    if not single and subject is not None:
        raise UsageError("--subject: subjects of a cohort are numbered automatically")


def _write_one(head: VirtualHead, out: Path, label: str) -> None:
    from qsmengine.phantom import write_bids
    from qsmengine.pipeline.outputs.staging import staged

    with staged(out) as temporary:
        write_bids(head, temporary, label)


def _write_many(head: VirtualHead, out: Path, settings: CohortSettings, reporter: Reporter) -> None:
    from qsmengine.phantom.cohort import write_cohort
    from qsmengine.pipeline.outputs.staging import staged

    with staged(out) as temporary:
        faults = write_cohort(temporary, head, settings, reporter.detail)
    for session, fault in faults.items():
        reporter.note(f"{session}: {fault.kind}")
