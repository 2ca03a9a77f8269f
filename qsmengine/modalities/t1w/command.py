"""Command of T1-weighted images."""

from __future__ import annotations

from qsmengine.modalities.command import Command

COMMAND = Command(
    "anatomy",
    "qsmengine.cli.commands.anatomy",
    "Segment brain, tissues and deep grey matter in a T1-weighted image.",
    pairs=("--set",),
)
