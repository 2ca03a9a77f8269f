"""``qsmengine dti``: tensor maps of a diffusion series, named as by dtifit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from qsmengine.cli.display.outcome import print_outcome
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Option


def dti(
    *,
    dwi: Annotated[Path, Option("--dwi", "-k", help="4-D diffusion-weighted image")],
    out: Annotated[Path, Option("--out", "-o", help="prefix of the output files", metavar="PREFIX")],
    bval: Annotated[
        Path | None,
        Option("--bval", "-b", help="b-values; default: next to the image or inherited as in BIDS"),
    ] = None,
    bvec: Annotated[
        Path | None,
        Option("--bvec", "-r", help="gradient directions; default: next to the image or inherited as in BIDS"),
    ] = None,
    mask: Annotated[
        Path | None,
        Option(
            "--mask",
            "-m",
            help="mask of the voxels to fit; default: a computed brain mask; none: every voxel with signal",
        ),
    ] = None,
    fit: Annotated[
        str | None,
        Option(
            "--fit",
            help="fit method: ols, wls (weights from the predicted signal), wls_fsl (from the measured "
            "signal), iwls, nlls, restore, constrained, dki, dki_constrained or free_water",
            metavar="METHOD",
        ),
    ] = None,
    denoise: Annotated[
        str | None,
        Option("--denoise", help="denoising before the fit: mppca or mnlm; default: none", metavar="METHOD"),
    ] = None,
    gradnonlin: Annotated[
        Path | None,
        Option("--gradnonlin", help="gradient deviation tensor, nine volumes as in FSL (grad_dev)"),
    ] = None,
    tensor_order: Annotated[
        str,
        Option(
            "--tensor-order",
            help="order of the tensor's components: fsl, mrtrix, dipy or nifti",
            metavar="ORDER",
        ),
    ] = "fsl",
    check: Annotated[
        bool,
        Option("--check/--no-check", help="check the gradient table for changed axes and a wrong order"),
    ] = True,
    shells: Annotated[
        str | None,
        Option(
            "--shells",
            help="shells to fit in addition to b = 0, such as 1000,2000",
            metavar="B,...",
            callback=bounds.bounded(1, 100_000),
        ),
    ] = None,
    exclude: Annotated[
        str | None,
        Option("--exclude-volumes", help="volumes to exclude, counted from 1: 34 or 3,40-42", metavar="N,..."),
    ] = None,
    names: Annotated[
        Literal["fsl", "bids"],
        Option("--names", help="output names: fsl (as dtifit) or bids (BIDS derivatives)"),
    ] = "fsl",
    max_memory: Annotated[
        float | None,
        Option(
            "--max-memory",
            callback=bounds.bounded(0, 1e6),
            help="fit in slabs if more memory is needed; default: the free memory",
            metavar="GIB",
        ),
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
    """Fit the diffusion tensor: FA, colour FA, MD, eigenvalues, eigenvectors, mode, S0, noise, status.

    Files are named as by FSL's dtifit: PREFIX_FA, PREFIX_MD, PREFIX_L1, PREFIX_V1, ... The kurtosis fit
    (--fit dki) adds MK, AK, RK, KFA, MKT and DKT; the free-water fit (--fit free_water) adds FW.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cli.options.parsers import parse_numbers, parse_ranges
    from qsmengine.modalities.dwi.session import DtiRequest, run_dti_session
    from qsmengine.modalities.dwi.stages import SECTIONS
    from qsmengine.pipeline.configuration.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    named = {"diffusion": fit, "denoise": denoise}
    chosen: dict[str, dict[str, str | None]] = {
        section: {"method": name} for section, name in named.items() if name is not None
    }
    everywhere = mask is not None and str(mask) == "none" and not mask.exists()
    if everywhere:
        chosen["diffusion"] = {**chosen.get("diffusion", {}), "mask": None}
    settings_ = load_config(config, preset=preset, settings=settings or (), overrides=chosen, sections=SECTIONS)
    place = choose_device(device, threads, reporter)
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
        outcome = run_dti_session(request, settings_, place, dry_run=dry_run, progress=reporter.on_step)
    print_outcome(reporter, outcome, place, dry_run=dry_run)
