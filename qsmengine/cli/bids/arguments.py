"""Arguments of ``qsmengine-bids``, declared once: the parser and the Boutiques descriptor are made of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

from qsmengine.cohort.plan.build import all_kinds
from qsmengine.errors import UsageError, nearest

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
        Identifier; of a positional argument also what the help shows.
    flags
        Spellings, the first one preferred; none for a positional argument.
    kind
        What its value is.
    help
        One line.
    several
        Whether it takes one value or more.
    choices, default
        Allowed values, and the one without the argument.
    least
        Smallest number allowed.
    """

    name: str
    flags: tuple[str, ...]
    kind: Kind
    help: str
    several: bool = False
    choices: tuple[str, ...] = ()
    default: Any = None
    least: int | None = None


def _both(flag: str) -> tuple[str, ...]:
    """A flag with dashes, and with underscores as BIDS Apps were first told to spell it."""
    return (flag,) if "-" not in flag[2:] else (flag, "--" + flag[2:].replace("-", "_"))


ARGUMENTS = (
    Argument("bids_dir", (), "folder", "raw BIDS dataset"),
    Argument("output_dir", (), "folder", "folder of the derivatives"),
    Argument("analysis_level", (), "text", "participant: reconstruct; group: gather tables and pages",
             choices=LEVELS),
    Argument("participant_label", _both("--participant-label"), "text", "only these, with or without sub-",
             several=True),
    Argument("session_label", _both("--session-label"), "text", "only these, with or without ses-",
             several=True),
    Argument("bids_filter_file", _both("--bids-filter-file"), "file", "JSON: entities of the files to take"),
    Argument("derivatives", ("-d", "--derivatives"), "folder", "datasets with segmentations", several=True),
    Argument("steps", ("--steps",), "text", "steps that every session must have", several=True,
             choices=all_kinds()),
    Argument("lut", ("--lut",), "text", "table of labels for segmentations without one: a name or a file"),
    Argument("echo_times", _both("--echo-times"), "number", "of every series [s]; else from the sidecars",
             several=True),
    Argument("field_strength", _both("--field-strength"), "number", "in tesla; else from the sidecars"),
    Argument("config", ("--config", "--config-file"), "file", "YAML configuration"),
    Argument("set", ("--set",), "text", "settings, such as inversion.lambda=2e-4", several=True),
    Argument("preset", ("--preset",), "text", "bundled configuration to start from", default="accurate"),
    Argument("design", ("--design",), "file", "group: YAML with one design, or a list of models"),
    Argument("participants", ("--participants",), "file", "group: participants.tsv; else the dataset's"),
    Argument("work_dir", ("-w", *_both("--work-dir")), "folder", "temporary files of workers and libraries"),
    Argument("nprocs", ("--nprocs", "--n-cpus", "--n_cpus"), "integer",
             "CPU cores of all workers together; 0: no worker processes", least=0),
    Argument("omp_nthreads", _both("--omp-nthreads"), "integer", "cores of one worker", least=1),
    Argument("mem", ("--mem", *_both("--mem-mb")), "text",
             "memory of all workers: a number of MB, or with K, M, G, T"),
    Argument("device", ("--device",), "text", "auto, cpu, cuda or cuda:N", default="auto"),
    Argument("gpus", ("--gpus",), "text", "GPUs to use, such as 0,1; all, or none"),
    Argument("scheduler", ("--scheduler",), "text", "address of a running Dask scheduler to join"),
    Argument("slurm", ("--slurm",), "file", "YAML profile: workers are jobs of Slurm"),
    Argument("dry_run", _both("--dry-run"), "flag",
             "print sessions, steps, memory and what is missing; write nothing"),
    Argument("resume", ("--resume",), "flag", "leave what is done and unchanged (the default)"),
    Argument("no_resume", _both("--no-resume"), "flag", "run every step again"),
    Argument("force", ("--force",), "flag", "run every step again, over results of another version too"),
    Argument("stop_on_first_crash", _both("--stop-on-first-crash"), "flag",
             "begin no session after one failed"),
    Argument("reports_only", _both("--reports-only"), "flag", "write pages and references of what is there"),
    Argument("skip_bids_validation", (*_both("--skip-bids-validation"), *_both("--skip-bids-validator")),
             "flag", "accepted for other tools' sake: the plan checks the files that are used"),
    Argument("verbose", ("--verbose",), "flag", "more detail, and tracebacks"),
    Argument("quiet", ("-q", "--quiet"), "flag", "only errors"),
    Argument("log_json", _both("--log-json"), "flag", "messages as JSON lines on stderr"),
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
        usage=f"%(prog)s bids_dir output_dir {{{','.join(LEVELS)}}} [options]",
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
    """Bytes of --mem: a plain number is in MB (as in fMRIPrep); raises UsageError for another form."""
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--mem {text!r}: a number of MB, or with K, M, G or T, such as 16G")
    return int(float(match[1]) * _BYTES[match[2].upper() or "M"])


class _Parser(argparse.ArgumentParser):
    """Errors are exceptions of the house."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


def _options(argument: Argument) -> dict[str, Any]:
    """Keywords of argparse."""
    options: dict[str, Any] = {"help": argument.help}
    if argument.choices:
        options["choices"] = argument.choices
    if not argument.flags:
        return options
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
        if argument.least is not None and value < argument.least:
            raise argparse.ArgumentTypeError(f"{text}: {argument.least} or more")
        return value

    convert.__name__ = argument.kind
    return convert


def _unknown(text: str) -> str:
    flag = text.partition("=")[0]
    known = [flag for argument in ARGUMENTS for flag in argument.flags]
    close = nearest(flag, known) if flag.startswith("-") else []
    return f"unknown argument {flag!r}{f'; did you mean {close[0]}?' if close else ''}"
