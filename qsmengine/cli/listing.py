"""The list of commands: where each lives, and its line in the help.

A summary is the first paragraph of the docstring of the command function. No command is imported, so the help
starts fast.
"""

from __future__ import annotations

from qsmengine.modalities.command import Command
from qsmengine.modalities.registry import commands as modality_commands

DESCRIPTION = "Quantitative susceptibility mapping, relaxometry, diffusion and perfusion on GPU and CPU."
VERSION = "Print version, kernels and CUDA state."
"""Help of the option `--version`."""

_OTHERS = (
    Command(
        "preproc",
        "qsmengine.cli.commands.preproc",
        "Align the volumes of a diffusion series, rotate the gradient directions and flag outlier slices.",
    ),
    Command(
        "register",
        "qsmengine.cli.commands.register",
        "Align an image with another of any contrast, check the result, bring further images and labels along.",
        several=("--apply", "--labels"),
    ),
    Command(
        "denoise",
        "qsmengine.cli.commands.denoise",
        "Denoise images jointly: each voxel becomes a mean of voxels with similar patches in all images.",
        pairs=("--set",),
    ),
    Command(
        "regions",
        "qsmengine.cli.commands.regions",
        "Measure the volume of every structure and the mean, median, SD, percentiles and coverage of each map.",
        pairs=("--map", "--unit"),
    ),
    Command(
        "lesions",
        "qsmengine.cli.commands.lesions",
        "Tabulate each lesion: its volume, and maps in its core, rim and surroundings; and the lesion load.",
        pairs=("--map", "--unit"),
    ),
    Command(
        "group",
        "qsmengine.cli.commands.group",
        "Fit group models of regional values: one analysis of covariance, or the models of an analysis file.",
    ),
    Command(
        "report",
        "qsmengine.cli.commands.report",
        "Write a page per session, a cohort page (index.html), methods and references (logs/CITATION.md).",
    ),
    Command(
        "quality",
        "qsmengine.cli.commands.quality",
        "Collect the quality measures of all sessions into one table and list those that need attention.",
    ),
    Command(
        "verify",
        "qsmengine.cli.commands.verify",
        "Recompute sessions from their raw data and configuration, and compare every map with the stored one.",
    ),
    Command(
        "protocol",
        "qsmengine.cli.commands.protocol",
        "Check acquisitions against recommendations: green and red with reasons, from headers and sidecars.",
    ),
    Command(
        "view",
        "qsmengine.cli.commands.view",
        "Draw three planes of a map as PNG, with orientation marks, scale bar and colour bar.",
    ),
    Command(
        "volumes",
        "qsmengine.cli.commands.volumes",
        "Read volumes of FreeSurfer, SynthSeg or FIRST, normalise them for head size, write a region table.",
    ),
    Command(
        "tfce",
        "qsmengine.cli.commands.tfce",
        "Test a design column in every voxel of a mask: Freedman-Lane permutation, TFCE, family-wise error.",
    ),
    Command(
        "reproduce",
        "qsmengine.cli.commands.reproduce",
        "Draw virtual cohorts from a study's published statistics, fit its models, compare with its findings.",
    ),
    Command(
        "phantom",
        "qsmengine.cli.commands.phantom",
        "Simulate a virtual head: gradient echoes and diffusion series as from a scanner, and the truth.",
        several=("--voxel-size", "--echo-times", "--b0-direction", "--modality", "--feature"),
    ),
    Command(
        "evaluate",
        "qsmengine.cli.commands.evaluate",
        "Score a susceptibility or field map, both where it is nonzero (as QSM-CI does) and in the whole mask.",
    ),
    Command(
        "stage",
        "qsmengine.cli.commands.stage",
        "Run one method of one stage on files; --list shows the available methods.",
        pairs=("--input", "-i", "--output", "-o", "--unit", "--set"),
    ),
    Command(
        "qsm-ci",
        "qsmengine.cli.commands.qsm_ci",
        "Process a QSM-CI input folder and write its result (totalfield, localfield or chimap, in ppm).",
        pairs=("--set",),
    ),
    Command(
        "demo",
        "qsmengine.cli.demo",
        "Reconstruct bundled real data and a virtual head with known truth: maps, tables and pictures.",
    ),
    Command(
        "plan",
        "qsmengine.cli.commands.plan",
        "List the sessions of a BIDS dataset with steps, sizes, memory and missing inputs; write nothing.",
    ),
    Command(
        "run",
        "qsmengine.cli.commands.run",
        "Reconstruct every session of a BIDS dataset; steps that are complete and unchanged are skipped.",
    ),
    Command(
        "status",
        "qsmengine.cli.commands.status",
        "Show which sessions are done, running, failed or blocked, and why; reads only the ledger.",
    ),
    Command(
        "import",
        "qsmengine.cli.commands.import_dicom",
        "Convert DICOM to BIDS with dcm2niix: series that qsmengine can process, and T1-weighted images.",
    ),
    Command(
        "export",
        "qsmengine.cli.commands.export_dicom",
        "Write maps, labels and region tables as DICOM objects of the study that they were made from.",
    ),
    Command(
        "serve",
        "qsmengine.cli.commands.serve",
        "Serve a scanner: magnitude and phase images in, susceptibility, R2*, uncertainty and SWI back (MRD).",
    ),
    Command(
        "doctor",
        "qsmengine.cli.commands.doctor",
        "Check what is usable on this machine: CPU kernels, threads, FFT, GPUs, CUDA and optional packages.",
    ),
)
COMMANDS = {command.name: command for command in (*modality_commands(), *_OTHERS)}
"""Commands in the order of the help: those of the modalities first."""
