"""Command of spin-echo trains."""

from __future__ import annotations

from qsmengine.modalities.command import Command

COMMAND = Command(
    "mese",
    "qsmengine.cli.commands.mese",
    "Compute R2 and T2 from multi-echo spin echoes.",
    several=("--magnitude", "--echo-times", "--b1"),
    pairs=("--set",),
)
