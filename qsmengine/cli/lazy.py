"""Commands of ``qsmengine``, imported only when they are invoked; the help lists their summaries.

A summary is the first paragraph of the command function's docstring.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

CONTEXT = {"help_option_names": ["-h", "--help"]}


class Entry(NamedTuple):
    """Module of a command below `qsmengine.cli`, and its line in the list of commands."""

    module: str
    summary: str

    @property
    def function(self) -> Any:
        """Import the command function, which is named like its module."""
        return getattr(import_module(f"qsmengine.cli.{self.module}"), self.module.rpartition(".")[2])


COMMANDS = {
    "qsm": Entry(
        "commands.qsm",
        "Compute total and local field, R2*, T2* and susceptibility maps from raw gradient echoes.",
    ),
    "dti": Entry(
        "commands.dti",
        "Fit the diffusion tensor: FA, colour FA, MD, eigenvalues, eigenvectors, mode, S0, noise, status.",
    ),
    "preproc": Entry(
        "commands.preproc",
        "Align the volumes of a diffusion series, rotate the gradient directions and flag outlier slices.",
    ),
    "denoise": Entry(
        "commands.denoise",
        "Denoise images jointly: each voxel becomes a mean of voxels with similar patches in all images.",
    ),
    "regions": Entry(
        "commands.regions",
        "Measure the volume of every structure and the mean, median, SD, percentiles and coverage of each map.",
    ),
    "group": Entry(
        "commands.group",
        "Fit group models of regional values: one analysis of covariance, or the models of an analysis file.",
    ),
    "report": Entry(
        "commands.report",
        "Write a page per session, a cohort page (index.html), methods and references (logs/CITATION.md).",
    ),
    "volumes": Entry(
        "commands.volumes",
        "Read volumes of FreeSurfer, SynthSeg or FIRST, normalise them for head size, write a region table.",
    ),
    "tfce": Entry(
        "commands.tfce",
        "Test a design column in every voxel of a mask: Freedman-Lane permutation, TFCE, family-wise error.",
    ),
    "reproduce": Entry(
        "commands.reproduce",
        "Draw virtual cohorts from a study's published statistics, fit its models, compare with its findings.",
    ),
    "phantom": Entry(
        "commands.phantom",
        "Simulate a virtual head: gradient echoes and diffusion series as from a scanner, and the truth.",
    ),
    "evaluate": Entry(
        "commands.evaluate",
        "Score a susceptibility or field map, both where it is nonzero (as QSM-CI does) and in the whole mask.",
    ),
    "stage": Entry(
        "commands.stage",
        "Run one method of one stage on files; --list shows the available methods.",
    ),
    "qsm-ci": Entry(
        "commands.qsm_ci",
        "Process a QSM-CI input folder and write its result (totalfield, localfield or chimap, in ppm).",
    ),
    "demo": Entry(
        "demo",
        "Reconstruct bundled real data and a virtual head with known truth: maps, tables and pictures.",
    ),
    "plan": Entry(
        "commands.plan",
        "List the sessions of a BIDS dataset with steps, sizes, memory and missing inputs; write nothing.",
    ),
    "run": Entry(
        "commands.run",
        "Reconstruct every session of a BIDS dataset; steps that are complete and unchanged are skipped.",
    ),
    "status": Entry(
        "commands.status",
        "Show which sessions are done, running, failed or blocked, and why; reads only the ledger.",
    ),
    "import": Entry(
        "commands.import_dicom",
        "Convert DICOM to BIDS with dcm2niix: gradient echoes with phase, diffusion and T1-weighted images.",
    ),
    "doctor": Entry(
        "commands.doctor",
        "Check what is usable on this machine: CPU kernels, threads, FFT, GPUs, CUDA and optional packages.",
    ),
}


class LazyGroup(TyperGroup):
    """Command group of `COMMANDS`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: TyperCommand(name, help=entry.summary) for name, entry in COMMANDS.items()}
        self._listing = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command called `cmd_name`; while help is printed, return only its summary."""
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
    """Import a command and build it from its options."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=CONTEXT)
    alone.command(name)(COMMANDS[name].function)
    return typer.main.get_command(alone)
