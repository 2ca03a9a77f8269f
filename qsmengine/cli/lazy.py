"""The commands of ``qsmengine``: each is imported when it is invoked, and help lists their summaries.

A summary is the first paragraph of the command function's docstring.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

CONTEXT = {"help_option_names": ["-h", "--help"]}


class Entry(NamedTuple):
    """Where a command lives below `qsmengine.cli`, and its line in the list of commands."""

    module: str
    summary: str

    @property
    def function(self) -> Any:
        """The command function, which has the name of its module."""
        return getattr(import_module(f"qsmengine.cli.{self.module}"), self.module.rpartition(".")[2])


COMMANDS = {
    "qsm": Entry(
        "commands.qsm",
        "Raw gradient echoes to total and local field, R2*, T2* and susceptibility.",
    ),
    "dti": Entry(
        "commands.dti",
        "Diffusion tensor: FA, colour FA, MD, eigenvalues and vectors, mode, S0, tensor, noise, status.",
    ),
    "preproc": Entry(
        "commands.preproc",
        "Bring the volumes of a diffusion series onto each other, turn the gradients along, flag lost slices.",
    ),
    "denoise": Entry(
        "commands.denoise",
        "Filter images together: each voxel becomes a mean of voxels whose patches look alike in all images.",
    ),
    "regions": Entry(
        "commands.regions",
        "Volume and per-map mean, median, SD, percentiles and coverage of every structure.",
    ),
    "group": Entry(
        "commands.group",
        "Group models of regional values: one analysis of covariance, or the models of an analysis file.",
    ),
    "report": Entry(
        "commands.report",
        "Pages of every session and of the cohort (index.html), methods and references (logs/CITATION.md).",
    ),
    "volumes": Entry(
        "commands.volumes",
        "Read volumes of FreeSurfer, SynthSeg or FIRST, normalise for head size, write a region table.",
    ),
    "tfce": Entry(
        "commands.tfce",
        "Test a column in every voxel of a mask; family-wise error by permutation (Freedman-Lane, TFCE).",
    ),
    "reproduce": Entry(
        "commands.reproduce",
        "Draw virtual cohorts with a study's published figures, run its models, compare with the print.",
    ),
    "phantom": Entry(
        "commands.phantom",
        "A virtual head: gradient echoes and diffusion series as a scanner would give them, and the truth.",
    ),
    "evaluate": Entry(
        "commands.evaluate",
        "Score a susceptibility or field map where it is not 0 (as QSM-CI does) and in the whole mask.",
    ),
    "stage": Entry(
        "commands.stage",
        "Run one method of one stage on files; --list shows what there is.",
    ),
    "qsm-ci": Entry(
        "commands.qsm_ci",
        "Read a QSM-CI input folder, write its result (totalfield, localfield or chimap, in ppm).",
    ),
    "demo": Entry(
        "demo",
        "Real gradient echoes, real diffusion, and a virtual head with known truth: maps, tables, pictures.",
    ),
    "plan": Entry(
        "commands.plan",
        "Every session of a BIDS dataset with its steps, sizes, memory and what is missing; writes nothing.",
    ),
    "run": Entry(
        "commands.run",
        "Reconstruct every session of a BIDS dataset; what is done and unchanged is not done again.",
    ),
    "status": Entry(
        "commands.status",
        "Sessions done, running, failed and blocked with their reasons, from the ledger alone.",
    ),
    "import": Entry(
        "commands.import_dicom",
        "Gradient echoes with phase, diffusion and T1-weighted images, through dcm2niix (extra: dicom).",
    ),
    "doctor": Entry(
        "commands.doctor",
        "What is usable on this machine and why not: CPU kernels, threads, FFT, GPUs, CUDA, optional parts.",
    ),
}


class LazyGroup(TyperGroup):
    """Group of `COMMANDS`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: TyperCommand(name, help=entry.summary) for name, entry in COMMANDS.items()}
        self._listing = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command called `cmd_name`, imported; only its summary while help is printed."""
        listed = super().get_command(ctx, cmd_name)
        return listed if listed is None or self._listing else load_command(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print help without importing the commands."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


def load_command(name: str) -> Any:
    """Import a command and read its options."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=CONTEXT)
    alone.command(name)(COMMANDS[name].function)
    return typer.main.get_command(alone)
