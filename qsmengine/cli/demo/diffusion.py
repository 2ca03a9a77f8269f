"""Part 2: a real diffusion series, compared with the maps computed by the scanner."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qsmengine.backend.device import Device, to_numpy
from qsmengine.cli.demo.compare import median_difference
from qsmengine.cli.demo.extras import missing
from qsmengine.cli.demo.summary import Summary
from qsmengine.cli.display.reporter import Reporter
from qsmengine.demo_data import demo_path
from qsmengine.io.nifti import read_image, write_image
from qsmengine.modalities.dwi.session import DtiRequest, run_dti_session
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.metrics import correlation

MIN_B0 = 300.0
"""Signal at b = 0 above which a voxel counts as tissue and is compared."""


def reconstruct_diffusion(out: Path, device: Device, reporter: Reporter, summary: Summary) -> None:
    """Fit tensors where the scanner did, and compare FA and MD with the scanner's maps."""
    reporter.step("2. real diffusion: Siemens 3 T, 20 directions, 3 mm, against the scanner's maps")
    data = demo_path("siemens-dwi-brain-with-vendor-maps")
    prefix = out / "diffusion" / "dti"
    b0, grid, _ = read_image(data / "dwi.nii.gz")
    tissue = b0[..., 0] > MIN_B0
    mask = prefix.with_name("head_mask.nii.gz")
    vendor_fa = data / "vendor_FA_x1000.nii.gz"
    write_image(mask, read_image(vendor_fa).array > 0, grid)
    request = DtiRequest(dwi=data / "dwi.nii.gz", prefix=prefix, mask=mask, force=True)
    with reporter.progress():
        outcome = run_dti_session(request, load_config(), device, progress=reporter.on_step)
    result = outcome.completed()
    rows = []
    for name, vendor, scale, shown, unit in (
        ("fa", "vendor_FA_x1000.nii.gz", 1e3, 1.0, "1"),
        ("md", "vendor_ADC.nii.gz", 1e6, 1e6, "1e-6 mm^2/s"),
    ):
        ours = to_numpy(result[name])
        theirs = read_image(data / vendor).array / np.float32(scale)
        difference = median_difference(ours, theirs, tissue) * shown
        rows.append((name.upper(), correlation(ours, theirs, tissue), difference, unit))
        summary.fact(f"{name}_correlation", rows[-1][1])
    columns = ("map", "correlation", "median |difference|", "unit")
    summary.table(f"Real diffusion against the scanner's maps (b0 > {MIN_B0:.0f})", columns, rows)
    if not missing("report"):
        _picture(prefix, vendor_fa)


def _picture(prefix: Path, vendor_fa: Path) -> None:
    from qsmengine.report.figures import overview
    from qsmengine.report.panels import Panel

    fa, md = (Path(f"{prefix}_{ending}.nii.gz") for ending in ("FA", "MD"))
    panels = [
        Panel(fa, "FA", "fa"),
        Panel(vendor_fa, "scanner's FA", "fa", scale=1e-3),
        Panel(fa, "direction", "colour_fa", vectors=Path(f"{prefix}_V1.nii.gz")),
        Panel(md, "MD", "diffusivity"),
    ]
    overview(panels, prefix.with_name("overview.png"), "Real diffusion, 20 directions, b = 2500 s/mm2")
