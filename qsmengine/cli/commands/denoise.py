"""``qsmengine denoise``: joint non-local means of all inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from qsmengine.cli.display.reporter import Reporter
from qsmengine.cli.options import bounds, shared
from qsmengine.cli.options.declared import Argument, Option


def denoise(
    *,
    images: Annotated[
        list[Path],
        Argument(
            help="images on one grid, filtered jointly; each volume of a 4-D image is one component",
            metavar="F...",
        ),
    ],
    out: Annotated[Path, Option("--out", "-o", help="output folder", metavar="DIR")],
    sigma: Annotated[
        str,
        Option(
            "--sigma",
            help="noise level in the images' unit: a number, a map or an estimate: auto, local (a map) "
            "or repeats (from the differences of repeated volumes)",
        ),
    ] = "auto",
    search_radius: Annotated[
        int,
        Option("--search-radius", help="radius of the search window [voxels]", callback=bounds.bounded(0, 100)),
    ] = 5,
    patch_radius: Annotated[
        int,
        Option("--patch-radius", help="radius of the patches [voxels]", callback=bounds.bounded(0, 100)),
    ] = 1,
    h: Annotated[
        float,
        Option("--h", help="decay of the weights relative to the noise", callback=bounds.bounded(1e-3, 1e3)),
    ] = 1.0,
    rician: Annotated[
        bool, Option("--rician", help="correct the Rician noise bias of magnitude images")
    ] = False,
    lmmse: Annotated[
        bool, Option("--lmmse", help="add an LMMSE pass that uses the images' local covariance")
    ] = False,
    mask: Annotated[
        Path | None, Option("--mask", "-m", help="mask of the voxels to filter; others become 0")
    ] = None,
    device: shared.Device = "auto",
    threads: shared.Threads = None,
    settings: shared.Settings = None,
    force: shared.Force = False,
    verbose: shared.Verbose = False,
    quiet: shared.Quiet = False,
    log_json: shared.LogJson = False,
) -> None:
    """Denoise images jointly: each voxel becomes a mean of voxels with similar patches in all images.

    Writes DIR/A_desc-denoised.nii.gz for an input A.nii.gz. Either all outputs are written or none.
    """
    from qsmengine.cli.options.devices import choose_device
    from qsmengine.cli.options.parsers import parse_pairs
    from qsmengine.pipeline.configuration.config import parse_value
    from qsmengine.sessions.denoising import DenoiseRequest, run_denoising

    reporter = Reporter(verbose=verbose, quiet=quiet, log_json=log_json)
    given = {
        key.removeprefix("denoise."): parse_value(text) for key, text in parse_pairs(settings, "--set").items()
    }
    params = {"search_radius": search_radius, "patch_radius": patch_radius, "h": h, "rician": rician}
    params |= {"lmmse": lmmse, **given}
    request = DenoiseRequest(images=images, target=out, sigma=sigma, mask=mask, params=params, force=force)
    notes: list[str] = []
    written = run_denoising(request, choose_device(device, threads, reporter), notes)
    reporter.notes(notes)
    for path in written:
        reporter.say(str(path), file=str(path))
