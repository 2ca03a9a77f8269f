"""Command of the toy modality."""

from qsmengine.modalities.command import Command

COMMAND = Command("pd", "tests.modalities.toy.pd", "Compute relative proton density.")
