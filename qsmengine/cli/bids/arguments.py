"""Arguments of ``qsmengine-bids``: one declaration for both the parser and the Boutiques descriptor."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

from qsmengine.cli.options.bounds import ECHO_TIME, FIELD_STRENGTH, THREADS, WORKERS, Bounds
from qsmengine.cohort.plan.build import all_kinds
from qsmengine.errors import UsageError, nearest
from qsmengine.stats.labels.tables import ATLASES

Kind: TypeAlias = Literal["text", "file", "folder", "integer", "number", "flag"]
LEVELS = ("participant", "group")
_BYTES = {"B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([BKMGT]?)I?B?", re.IGNORECASE)


@dataclass(frozen=True)
class Argument:
    """One argument.

    Parameters
    ----------
    name
        Identifier; for a positional argument also the name shown in the help.
    flags
        Spellings, preferred one first; empty for a positional argument.
    kind
        Type of the value.
    help
        Description, one line.
    several
        Whether the argument accepts more than one value.
    choices, default
        Allowed values, and the default value.
    bounds
        Smallest and largest number allowed.
    """

    name: str
    flags: tuple[str, ...]
    kind: Kind
    help: str
    several: bool = False
    choices: tuple[str, ...] = ()
    default: Any = None
    bounds: Bounds | None = None


def _both(flag: str) -> tuple[str, ...]:
    """Return a flag spelled with dashes and with underscores, the older convention of BIDS Apps."""
    return (flag,) if "-" not in flag[2:] else (flag, "--" + flag[2:].replace("-", "_"))


ARGUMENTS = (
    Argument("bids_dir", (), "folder", "raw BIDS dataset"),
    Argument("output_dir", (), "folder", "folder of the derivatives"),
    Argument("analysis_level", (), "text", "participant: reconstruct; group: collect tables and pages; or both",
             several=True, choices=LEVELS),
    Argument("participant_label", _both("--participant-label"), "text",
             "subjects to process, with or without sub-", several=True),
    Argument("session_label", _both("--session-label"), "text",
             "sessions to process, with or without ses-", several=True),
    Argument("bids_filter_file", _both("--bids-filter-file"), "file",
             "JSON: BIDS entities of the files to use"),
    Argument("derivatives", ("-d", "--derivatives"), "folder", "datasets with segmentations", several=True),
    Argument("steps", ("--steps",), "text", "steps required of every session", several=True,
             choices=all_kinds()),
    Argument("lut", ("--lut",), "text",
             "lookup table for segmentations without one: a built-in name or a file"),
    Argument("atlas", ("--atlas",), "text", "nuclei of these atlases on the susceptibility map", several=True,
             choices=tuple(ATLASES)),
    Argument("echo_times", _both("--echo-times"), "number",
             "echo times of every series [s]; default: from the sidecars", several=True, bounds=ECHO_TIME),
    Argument("field_strength", _both("--field-strength"), "number",
             "field strength of every series [T]; default: from the sidecars", bounds=FIELD_STRENGTH),
    Argument("config", ("--config", "--config-file"), "file", "YAML configuration file"),
    Argument("set", ("--set",), "text", "settings, such as inversion.lambda=2e-4", several=True),
    Argument("preset", ("--preset",), "text", "bundled configuration to start from", default="accurate"),
    Argument("design", ("--design",), "file", "group level: YAML with one design, or a list of models"),
    Argument("participants", ("--participants",), "file",
             "group level: participants.tsv; default: the dataset's"),
    Argument("work_dir", ("-w", *_both("--work-dir")), "folder", "folder for temporary files"),
    Argument("nprocs", ("--nprocs", "--n-cpus", "--n_cpus"), "integer",
             "total number of CPU cores; 0: no worker processes", bounds=WORKERS),
    Argument("omp_nthreads", _both("--omp-nthreads"), "integer", "CPU cores per worker", bounds=THREADS),
    Argument("mem", ("--mem", *_both("--mem-mb")), "text",
             "total memory of all workers: a number of MB, or a size such as 16G"),
    Argument("device", ("--device",), "text", "compute device: auto, cpu, cuda or cuda:N", default="auto"),
    Argument("gpus", ("--gpus",), "text", "GPUs to use: numbers such as 0,1, or all, or none"),
    Argument("scheduler", ("--scheduler",), "text", "address of a running Dask scheduler to join"),
    Argument("slurm", ("--slurm",), "file", "YAML profile; workers run as Slurm jobs"),
    Argument("dry_run", _both("--dry-run"), "flag",
             "print sessions, steps, memory and missing inputs without writing anything"),
    Argument("resume", ("--resume",), "flag", "skip steps that are complete and unchanged (the default)"),
    Argument("no_resume", _both("--no-resume"), "flag", "run every step again"),
    Argument("force", ("--force",), "flag", "run every step again and replace results of other versions"),
    Argument("stop_on_first_crash", _both("--stop-on-first-crash"), "flag",
             "start no further session after a failure"),
    Argument("reports_only", _both("--reports-only"), "flag",
             "write only pages and references, from existing results"),
    Argument("skip_bids_validation", (*_both("--skip-bids-validation"), *_both("--skip-bids-validator")),
             "flag", "accepted for compatibility; the plan checks the files it uses"),
    Argument("verbose", ("--verbose",), "flag", "print more detail, and tracebacks of errors"),
    Argument("quiet", ("-q", "--quiet"), "flag", "print only errors"),
    Argument("log_json", _both("--log-json"), "flag", "write messages as JSON lines to stderr"),
    Argument("version", ("-v", "--version"), "flag", "print version, kernels and CUDA state"),
)  # fmt: skip


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read a command line.

    Raises
    ------
    UsageError
        For an unknown flag (with the nearest known one), a missing argument or a wrong value.
    SystemExit
        With code 0 after --help.
    """
    parser = _Parser(
        prog="qsmengine-bids",
        usage=f"%(prog)s bids_dir output_dir {{{','.join(LEVELS)}}} ... [options]",
        description="Susceptibility and diffusion maps of a BIDS dataset, as a BIDS App.",
        allow_abbrev=False,
    )
    for argument in ARGUMENTS:
        parser.add_argument(*(argument.flags or (argument.name,)), **_options(argument))
    found, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(_unknown(unknown[0]))
    return found


def memory_bytes(text: str) -> int:
    """Parse --mem into bytes: a plain number is in MB (as in fMRIPrep); raises UsageError for other forms."""
    match = _MEMORY.fullmatch(text.strip())
    if match is None or len(match[1]) > 15:
        raise UsageError(f"--mem {text!r}: expected a number of MB, or a size with K, M, G or T, such as 16G")
    return int(float(match[1]) * _BYTES[match[2].upper() or "M"])


class _Parser(argparse.ArgumentParser):
    """Parser that raises UsageError instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


def _options(argument: Argument) -> dict[str, Any]:
    """Return an argument's keywords for argparse."""
    options: dict[str, Any] = {"help": argument.help}
    if argument.choices:
        options["choices"] = argument.choices
    if not argument.flags:
        return options | ({"nargs": "+"} if argument.several else {})
    options["dest"] = argument.name
    if argument.kind == "flag":
        return options | {"action": "store_true"}
    options |= {"default": argument.default, "metavar": argument.kind.upper()}
    if argument.choices:
        options["metavar"] = "|".join(argument.choices)
    if argument.several:
        options |= {"nargs": "+", "action": "extend"}
    if argument.kind in {"integer", "number"}:
        options["type"] = _number(argument)
    return options


def _number(argument: Argument) -> Any:
    def convert(text: str) -> float | int:
        value = int(text) if argument.kind == "integer" else float(text)
        if argument.bounds is not None:
            argument.bounds.check(argument.flags[0], value)
        return value

    convert.__name__ = argument.kind
    return convert


def _unknown(text: str) -> str:
    flag = text.partition("=")[0]
    known = [flag for argument in ARGUMENTS for flag in argument.flags]
    close = nearest(flag, known) if flag.startswith("-") else []
    return f"unknown argument {flag!r}{f'; did you mean {close[0]}?' if close else ''}"
