"""Command of gradient echoes."""

from __future__ import annotations

from qsmengine.modalities.command import Command

COMMAND = Command(
    "qsm",
    "qsmengine.cli.commands.qsm",
    "Compute total and local field, R2*, T2* and susceptibility maps from raw gradient echoes.",
    several=("--magnitude", "-m", "--phase", "-p", "--real", "--imag", "--echo-times"),
    pairs=("--set",),
)
