"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from qsmengine.cli.options.bounds import THREADS, bounded
from qsmengine.cli.options.declared import Option

_COMPUTE = "Computing"
_CONFIG = "Configuration"
_OUTPUT = "Output"

Device: TypeAlias = Annotated[
    str,
    Option(
        "--device", help="compute device: auto, cpu, cuda or cuda:N", rich_help_panel=_COMPUTE, metavar="DEVICE"
    ),
]
Threads: TypeAlias = Annotated[
    int | None,
    Option(
        "--threads", help="CPU threads; default: all", rich_help_panel=_COMPUTE, metavar="N",
        callback=bounded(*THREADS),
    ),
]  # fmt: skip
ConfigFile: TypeAlias = Annotated[
    Path | None,
    Option("--config", help="YAML configuration file", rich_help_panel=_CONFIG, metavar="F.yaml"),
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    Option(
        "--set", help="one setting, such as inversion.lambda=2e-4; may be repeated", rich_help_panel=_CONFIG,
        metavar="KEY=VALUE",
    ),
]  # fmt: skip
Preset: TypeAlias = Annotated[
    str, Option("--preset", help="bundled configuration to start from", rich_help_panel=_CONFIG)
]
DryRun: TypeAlias = Annotated[
    bool,
    Option(
        "--dry-run",
        help="print steps, memory and output names without writing anything",
        rich_help_panel=_OUTPUT,
    ),
]
Force: TypeAlias = Annotated[bool, Option("--force", help="replace earlier outputs", rich_help_panel=_OUTPUT)]
Verbose: TypeAlias = Annotated[
    bool,
    Option("-v", "--verbose", help="print more detail, and tracebacks of errors", rich_help_panel=_OUTPUT),
]
Quiet: TypeAlias = Annotated[bool, Option("-q", "--quiet", help="print only errors", rich_help_panel=_OUTPUT)]
LogJson: TypeAlias = Annotated[
    bool, Option("--log-json", help="write messages as JSON lines to stderr", rich_help_panel=_OUTPUT)
]
