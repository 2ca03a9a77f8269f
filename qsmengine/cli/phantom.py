"""``qsmengine phantom``: a virtual head as BIDS raw data with its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qsmengine.cli import options
from qsmengine.cli.reporter import Reporter
from qsmengine.errors import UsageError


def phantom(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="BIDS folder to write into")],
    head: Annotated[int, typer.Option("--head", help="whose anatomy: 1, 2 or 3")] = 1,
    subject: Annotated[
        str | None, typer.Option("--subject", help="label of the subject [default: 01 for head 1, ...]")
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option("--feature", help="veins, calcifications, lesions: drawn into the brain", metavar="F..."),
    ] = None,
    voxel_size: Annotated[
        list[str] | None, typer.Option("--voxel-size", help="in mm, one or three numbers", metavar="MM...")
    ] = None,
    field_strength: Annotated[float, typer.Option("--field-strength", help="in tesla", metavar="T")] = 3.0,
    echo_times: Annotated[
        list[str] | None,
        typer.Option("--echo-times", help="in seconds [default: 0.004 0.012 0.02 0.028]", metavar="S..."),
    ] = None,
    b0_direction: Annotated[
        list[str] | None, typer.Option("--b0-direction", help="in array axes [default: 0 0 1]", metavar="X Y Z")
    ] = None,
    snr: Annotated[
        float | None, typer.Option("--snr", help="in white matter at the first echo; no noise when not given")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="of texture, coil and noise")] = 0,
    modality: Annotated[
        list[str] | None, typer.Option("--modality", help="gre, dwi or both [default: gre]", metavar="M...")
    ] = None,
    texture: Annotated[float, typer.Option("--texture", help="relative variation inside a tissue")] = 0.1,
    force: options.Force = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    log_json: options.LogJson = False,
) -> None:
    """A virtual head: gradient echoes and diffusion series as a scanner would give them, and the truth."""
    from qsmengine.cli.inputs import parse_numbers, parse_vector
    from qsmengine.phantom import virtual_head, write_bids
    from qsmengine.phantom.head import ECHO_TIMES
    from qsmengine.pipeline.staging import staged

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    label = f"{head:02d}" if subject is None else subject
    folder = out / f"sub-{label}"
    if folder.exists() and not force:
        raise UsageError(f"{folder} exists already; --force replaces it")
    edges = parse_numbers(voxel_size, "--voxel-size") or (1.0,)
    made = virtual_head(
        subject=head,
        features=tuple(feature or ()),
        voxel_size=parse_vector(edges * 3 if len(edges) == 1 else edges, "--voxel-size"),
        field_strength=field_strength,
        echo_times=parse_numbers(echo_times, "--echo-times") or ECHO_TIMES,
        b0_direction=parse_vector(
            parse_numbers(b0_direction, "--b0-direction") or (0.0, 0.0, 1.0), "--b0-direction"
        ),
        snr=snr,
        seed=seed,
        modalities=tuple(modality or ("gre",)),
        texture=texture,
    )
    with staged(out) as temporary:
        write_bids(made, temporary, label)
    reporter.say(str(folder), file=str(folder))
