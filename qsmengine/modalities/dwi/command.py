"""Command of diffusion-weighted images."""

from __future__ import annotations

from qsmengine.modalities.command import Command

COMMAND = Command(
    "dti",
    "qsmengine.cli.commands.dti",
    "Fit the diffusion tensor: FA, colour FA, MD, eigenvalues, eigenvectors, mode, S0, noise, status.",
    pairs=("--set",),
)
