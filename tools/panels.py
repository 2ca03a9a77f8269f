"""Rows of figures that several pictures share."""

from __future__ import annotations

from pathlib import Path

from qsmengine.report.panels import Panel


def tensor_panels(prefix: Path) -> list[Panel]:
    """Return colour FA, FA, MD, and S0 of the maps whose names begin with `prefix`."""
    fa = Path(f"{prefix}_FA.nii.gz")
    return [
        Panel(fa, "colour FA", "colour_fa", vectors=Path(f"{prefix}_V1.nii.gz")),
        Panel(fa, "FA", "fa"),
        Panel(Path(f"{prefix}_MD.nii.gz"), "MD", "diffusivity"),
        Panel(Path(f"{prefix}_S0.nii.gz"), "S0", "magnitude"),
    ]
