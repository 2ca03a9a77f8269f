"""``qsmengine dsc``: perfusion maps of a bolus series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.outcome import print_outcome
from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Option


def dsc(
    *,
    dsc: Annotated[
        list[Path],
        Option("--dsc", help="4-D image; with two echoes, one image per echo", metavar="F..."),
    ],
    out: Annotated[Path, Option("--out", "-o", help="output folder")],
    te: Annotated[
        list[str] | None,
        Option(
            "--te",
            help="echo time [s], one per image; default: from the sidecars",
            metavar="S...",
            callback=bounds.echo_times,
        ),
    ] = None,
    tr: Annotated[
        float | None,
        Option(
            "--tr",
            help="time between frames [s]; default: from the sidecars",
            metavar="S",
            callback=bounds.bounded(0.05, 10),
        ),
    ] = None,
    mask: Annotated[Path | None, Option("--mask", help="brain mask; default: computed")] = None,
    aif: Annotated[
        Path | None,
        Option("--aif", help="arterial curve: a table with time [s] and dr2star [1/s]", metavar="F.tsv"),
    ] = None,
    aif_mask: Annotated[
        Path | None,
        Option("--aif-mask", help="voxels of an artery; default: chosen automatically", metavar="F"),
    ] = None,
    method: Annotated[
        str | None,
        Option(
            "--method",
            help="deconvolution; default: common_shape; `qsmengine stage deconvolution --list` shows all",
            metavar="METHOD",
        ),
    ] = None,
    leakage: Annotated[
        str | None,
        Option(
            "--leakage",
            help="correction of leakage: bsw, bidirectional or none; default: bsw",
            metavar="METHOD",
        ),
    ] = None,
    relative_to: Annotated[
        Path | None,
        Option(
            "--relative-to",
            help="region, such as normal-appearing white matter, whose mean the relative maps are divided by",
            metavar="F",
        ),
    ] = None,
    territories: Annotated[
        Path | None,
        Option("--territories", help="labels of regions, each deconvolved by an artery in it", metavar="F"),
    ] = None,
    denoise: Annotated[
        str | None,
        Option(
            "--denoise", help="denoising, after the artery is chosen: mppca; default: none", metavar="METHOD"
        ),
    ] = None,
    motion: Annotated[
        bool,
        Option(
            "--motion", help="register every frame to the baseline; requires the extra qsmengine[registration]"
        ),
    ] = False,
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
    """Compute blood volume, blood flow and transit times from a bolus series with contrast agent.

    The artery is chosen automatically and written as a mask and a table. Volumes are in mL/100 g, flows in
    mL/100 g/min; with --relative-to, maps relative to a region are written too.

    Echo time, time between frames and slice timing are read from the JSON sidecars if present.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cli.options.parsers import parse_numbers
    from qsmengine.modalities.dsc.session import SESSION, DscRequest
    from qsmengine.modalities.dsc.stages import SECTIONS
    from qsmengine.pipeline.configuration.config import load_config

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    methods = [] if method is None else [f"deconvolution.method={method}"]
    if denoise is not None:
        methods.append(f"denoise.method={denoise}")
    if leakage is not None:
        methods.append("leakage=none" if leakage == "none" else f"leakage.method={leakage}")
    if motion:
        methods.append("input.motion=true")
    settings_ = load_config(config, preset=preset, settings=[*methods, *(settings or ())], sections=SECTIONS)
    request = DscRequest(
        images=tuple(dsc),
        out=out,
        echo_times=parse_numbers(te, "--te"),
        repetition_time=tr,
        mask=mask,
        aif=aif,
        aif_mask=aif_mask,
        relative_to=relative_to,
        territories=territories,
        force=force,
    )
    chosen = choose_device(device, threads, reporter)
    with reporter.progress():
        outcome = SESSION.run(request, settings_, chosen, dry_run=dry_run, progress=reporter.on_step)
    print_outcome(reporter, outcome, chosen, dry_run=dry_run, endings=(".nii.gz", "aif.tsv"))
