"""Command of series with several flip angles."""

from __future__ import annotations

from qsmengine.modalities.command import Command

COMMAND = Command(
    "vfa",
    "qsmengine.cli.commands.vfa",
    "Compute R1, T1, R2* and proton density from spoiled gradient echoes at several flip angles.",
    several=(
        "--magnitude",
        "--phase",
        "--flip-angles",
        "--repetition-times",
        "--echo-times",
        "--b1",
        "--bssfp",
        "--bssfp-phase",
        "--bssfp-increments",
    ),
    pairs=("--set",),
)
