"""`python -m tools diffusion-pictures`: draw the pictures of docs/diffusion.md from data in the repository."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from qsmengine.backend.device import resolve_device
from qsmengine.demo_data import demo_path
from qsmengine.io import write_image
from qsmengine.modalities.dwi.session import DtiRequest, run_dti_session
from qsmengine.phantom.head import virtual_head
from qsmengine.phantom.scheme import repulsion_directions
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.report.figures import overview
from qsmengine.report.panels import Panel
from tools.markdown import IMAGES, ROOT
from tools.panels import tensor_panels

SIEMENS = "siemens-dwi-brain-with-vendor-maps"
CANON = ROOT / "tests" / "data" / "canon-dwi-brain-oblique"
SHELLS = (700.0, 2000.0)
SNR = 30.0
VOXEL = (2.5, 2.5, 2.5)


def main(argv: list[str]) -> int:
    options = argparse.ArgumentParser(prog="python -m tools diffusion-pictures", description=__doc__)
    options.add_argument("--out", type=Path, default=IMAGES)
    out = options.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        siemens = fit(demo_path(SIEMENS) / "dwi.nii.gz", scratch / "siemens")
        overview(
            tensor_panels(siemens),
            out / "diffusion-siemens.png",
            "Siemens, b = 2500, OLS",
        )
        for name in ("axial", "sagittal_tilted"):
            canon = fit(CANON / f"{name}.nii.gz", scratch / name)
            title = f"Canon crop, {name.replace('_', ', ')}, b = 1500, OLS"
            overview(tensor_panels(canon), out / f"diffusion-canon-{name.replace('_', '-')}.png", title)
        two_shells(scratch)
        tissue = fit(scratch / "head.nii.gz", scratch / "water", "free_water")
        kurtosis = fit(scratch / "head.nii.gz", scratch / "kurtosis", "dki_constrained")
        panels = [
            Panel(Path(f"{tissue}_FW.nii.gz"), "free water", "fa"),
            Panel(Path(f"{tissue}_FA.nii.gz"), "FA of tissue", "fa"),
            Panel(Path(f"{kurtosis}_MK.nii.gz"), "mean kurtosis", "fa", window=(0.0, 1.5)),
        ]
        overview(panels, out / "diffusion-two-shells.png", "virtual head, b = 700 and 2000, SNR 30")
    return 0


def fit(dwi: Path, prefix: Path, method: str = "ols") -> Path:
    """Fit a series, write its maps under `prefix`, and return the prefix."""
    request = DtiRequest(dwi, prefix, check_gradients=False)
    config = load_config(overrides={"diffusion": {"method": method}})
    run_dti_session(request, config, resolve_device("cpu"))
    return prefix


def two_shells(folder: Path) -> None:
    """Write a virtual head with two shells as head.nii.gz into `folder`; 0 outside the brain."""
    directions = np.array(repulsion_directions(30))
    b = np.concatenate([np.zeros(4), np.repeat(SHELLS, 30)])
    g = np.concatenate([np.zeros((4, 3)), directions, directions])
    head = virtual_head(voxel_size=VOXEL, modalities=("dwi",), snr=SNR, scheme=(b, g))
    if head.dwi is None:
        raise RuntimeError("the virtual head has no diffusion series")
    write_image(folder / "head.nii.gz", head.dwi.signal * head.mask[..., None], head.grid)
    np.savetxt(folder / "head.bval", b[None], fmt="%g")
    np.savetxt(folder / "head.bvec", g.T)
