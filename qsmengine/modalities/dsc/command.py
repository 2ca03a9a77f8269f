"""Command of bolus series."""

from __future__ import annotations

from qsmengine.modalities.command import Command

COMMAND = Command(
    "dsc",
    "qsmengine.cli.commands.dsc",
    "Compute blood volume, blood flow and transit times from a bolus series with contrast agent.",
    several=("--dsc", "--te"),
    pairs=("--set",),
)
