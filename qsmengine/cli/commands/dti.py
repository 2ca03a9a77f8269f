"""``qsmengine dti``: a diffusion series to tensor maps under dtifit's names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import shared


def dti(
    *,
    dwi: Annotated[Path, typer.Option("--dwi", "-k", help="4-D diffusion-weighted image")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="what the outputs' names begin with", metavar="PREFIX")
    ],
    bval: Annotated[
        Path | None,
        typer.Option("--bval", "-b", help="b-values; else beside or above the image, as BIDS has it"),
    ] = None,
    bvec: Annotated[Path | None, typer.Option("--bvec", "-r", help="directions; likewise")] = None,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", "-m", help="mask; else one of the brain is made; none: every voxel with signal"),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            "--fit",
            help="ols, wls (predicted weights), wls_fsl (measured), iwls, nlls, restore, constrained, dki, "
            "dki_constrained or free_water",
            metavar="METHOD",
        ),
    ] = None,
    denoise: Annotated[
        str | None,
        typer.Option("--denoise", help="before the fit: mppca or mnlm; nothing by default", metavar="METHOD"),
    ] = None,
    gradnonlin: Annotated[
        Path | None,
        typer.Option("--gradnonlin", help="deviation of the gradient coils, nine volumes as FSL has them"),
    ] = None,
    tensor_order: Annotated[
        str,
        typer.Option(
            "--tensor-order", help="of the written tensor: fsl, mrtrix, dipy or nifti", metavar="ORDER"
        ),
    ] = "fsl",
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="look for a flip or permutation of the directions")
    ] = True,
    shells: Annotated[
        str | None,
        typer.Option("--shells", help="b-values to fit beside b = 0, such as 1000,2000", metavar="B,..."),
    ] = None,
    exclude: Annotated[
        str | None,
        typer.Option("--exclude-volumes", help="to leave out, from 1: 34 or 3,40-42", metavar="N,..."),
    ] = None,
    names: Annotated[
        Literal["fsl", "bids"], typer.Option("--names", help="of the outputs: dtifit's, or BIDS derivatives")
    ] = "fsl",
    max_memory: Annotated[
        float | None,
        typer.Option("--max-memory", min=0.0, help="fit in slabs above this; what is free", metavar="GIB"),
    ] = None,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    config: shared.ConfigFile = None,
    settings: shared.Settings = None,
    preset: shared.Preset = "accurate",
    dry_run: shared.DryRun = False,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Diffusion tensor: FA, colour FA, MD, eigenvalues and vectors, mode, S0, tensor, noise, status.

    The files are named as FSL's dtifit names them: PREFIX_FA, PREFIX_MD, PREFIX_L1, PREFIX_V1, ... Kurtosis
    (--fit dki) adds MK, AK, RK, KFA, MKT and DKT, free water (--fit free_water) FW.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cli.options.parsers import parse_numbers, parse_ranges
    from qsmengine.modalities.dwi.session import DtiRequest, run_dti_session
    from qsmengine.pipeline.configuration.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    named = {"diffusion": fit, "denoise": denoise}
    methods = [f"{section}.method={name}" for section, name in named.items() if name is not None]
    everywhere = mask is not None and str(mask) == "none" and not mask.exists()
    if everywhere:
        methods.append("diffusion.mask=none")
    settings_ = load_config(config, preset=preset, settings=[*methods, *(settings or ())])
    chosen = choose_device(device, threads, reporter)
    request = DtiRequest(
        dwi=dwi,
        prefix=out,
        bval=bval,
        bvec=bvec,
        mask=None if everywhere else mask,
        gradient_deviation=gradnonlin,
        tensor_order=tensor_order,
        check_gradients=check,
        shells=parse_numbers([shells] if shells else None, "--shells"),
        exclude=parse_ranges(exclude, "--exclude-volumes"),
        names=names,
        max_memory=None if max_memory is None else int(max_memory * 2**30),
        force=force,
    )
    with reporter.progress():
        outcome = run_dti_session(request, settings_, chosen, dry_run=dry_run, progress=reporter.on_step)
    reporter.notes(outcome.notes)
    if dry_run:
        from qsmengine.cli.display.plan import print_plan

        print_plan(reporter, outcome.plan, chosen, outcome.files)
        return
    for path in outcome.files:
        if path.name.endswith(".nii.gz"):
            reporter.say(str(path), file=str(path))
