"""``qsmengine preproc``: motion, eddy currents, outlier slices and a mask of a diffusion series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Option


def preproc(
    *,
    dwi: Annotated[Path, Option("--dwi", "-k", help="4-D diffusion-weighted image")],
    out: Annotated[Path, Option("--out", "-o", help="prefix of the output files", metavar="PREFIX")],
    bval: Annotated[Path | None, Option("--bval", "-b", help="b-values; default: next to the image")] = None,
    bvec: Annotated[
        Path | None, Option("--bvec", "-r", help="gradient directions; default: next to the image")
    ] = None,
    mask: Annotated[
        Path | None, Option("--mask", "-m", help="head mask; default: computed from the b = 0 volumes")
    ] = None,
    model: Annotated[
        Literal["affine", "rigid", "none"],
        Option(
            "--model",
            help="registration of diffusion-weighted volumes: affine (motion, eddy currents), rigid or none",
        ),
    ] = "affine",
    rounds: Annotated[int, Option("--rounds", min=1, max=5, help="number of registrations per volume")] = 2,
    threshold: Annotated[
        float,
        Option(
            "--outlier-threshold",
            help="flag slices darker than expected by more than this many standard deviations",
            callback=bounds.bounded(0.1, 1000),
        ),
    ] = 4.0,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Align the volumes of a diffusion series, rotate the gradient directions and flag outlier slices.

    Writes PREFIX_dwi.nii.gz with .bval, .bvec and .json, PREFIX_mask.nii.gz, PREFIX_motion.tsv and
    PREFIX_outliers.tsv. Registration needs the extra registration of qsmengine. Susceptibility distortion is
    not corrected: use FSL's topup and eddy for that and pass their rotated b-vectors to qsmengine dti.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.sessions.preproc import PreprocRequest, run_preproc
    from qsmengine.stages.diffusion.motion import MotionParams
    from qsmengine.stages.diffusion.slices import SliceParams

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    motion = None if model == "none" else MotionParams(model=model, rounds=rounds)
    limits = SliceParams(threshold=threshold)
    request = PreprocRequest(dwi, out, bval, bvec, mask, motion=motion, slices=limits, force=force)
    with reporter.progress():
        outcome = run_preproc(request, choose_device(device, threads, reporter), reporter.on_step)
    reporter.notes(outcome.notes)
    for path in outcome.files:
        reporter.say(str(path), file=str(path))
