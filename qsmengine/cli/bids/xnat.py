"""Command of XNAT's Container Service, built from the declaration of the arguments of ``qsmengine-bids``.

XNAT reads it from the label :data:`LABEL` of an image, or from a file that an administrator pastes. The
wrapper of a session reconstructs that session, the wrapper of a project all of its sessions and then the group
tables. Both get their data as a BIDS dataset from the setup command :data:`SETUP`.
"""

from __future__ import annotations

import json
from typing import Any

from qsmengine.cli.bids.arguments import ARGUMENTS, LEVELS, Argument

LABEL = "org.nrg.commands"
SETUP = "xnat/xnat2bids-setup:1.0:xnat2bids"
MEMORY = 4096
"""Memory to reserve for a container [MB]: twice what the largest preset and the anatomy need."""
USELESS = frozenset({
    "version", "quiet", "dry_run", "resume", "scheduler", "gpus", "reports_only", "skip_bids_validation",
    "participant_label", "session_label",
})  # fmt: skip
"""Arguments without a use in a container that XNAT starts on a session or project."""
_TYPES = {"flag": "boolean", "integer": "number", "number": "number"}
_MOUNTS = {"in": "/input", "out": "/output", "work": "/work"}


def command(version: str, image: str, *, gpu: bool = False) -> dict[str, Any]:
    """Return the command for a version and its image; `gpu` asks for NVIDIA's runtime."""
    inputs = [_input(argument) for argument in ARGUMENTS if _offered(argument)]
    keys = " ".join(entry["replacement-key"] for entry in (_levels(), *inputs))
    tree: dict[str, Any] = {
        "name": "qsmengine",
        "label": "qsmengine",
        "description": "Susceptibility, relaxation, diffusion and perfusion maps of a session or a project",
        "version": version,
        "schema-version": "1.0",
        "type": "docker",
        "image": image,
        "command-line": f"qsmengine-bids {_MOUNTS['in']} {_MOUNTS['out']} --work-dir {_MOUNTS['work']} {keys}",
        "override-entrypoint": True,
        "reserve-memory": MEMORY,
        "mounts": [{"name": name, "writable": name != "in", "path": path} for name, path in _MOUNTS.items()],
        "inputs": [_levels(), *inputs],
        "outputs": [
            {
                "name": "derivatives",
                "description": "BIDS derivatives, pages and ledger",
                "required": True,
                "mount": "out",
            }
        ],
        "xnat": [_wrapper("session", LEVELS[:1]), _wrapper("project", LEVELS)],
    }
    return tree | {"runtime": "nvidia"} if gpu else tree


def label(tree: dict[str, Any]) -> str:
    """Return the instruction of a Dockerfile that puts a command into the image's labels."""
    text = json.dumps([tree], separators=(",", ":"))
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'LABEL {LABEL}="{quoted}"'


def _offered(argument: Argument) -> bool:
    """Whether a user of XNAT may set an argument: those of the paths and of the cluster lie outside."""
    return bool(argument.flags) and argument.kind not in {"file", "folder"} and argument.name not in USELESS


def _input(argument: Argument) -> dict[str, Any]:
    flag = next(flag for flag in argument.flags if flag.startswith("--"))
    entry: dict[str, Any] = {
        "name": argument.name,
        "label": argument.name.replace("_", " "),
        "description": argument.help + ("; several with spaces between them" if argument.several else ""),
        "type": "string" if argument.several else _TYPES.get(argument.kind, "string"),
        "required": False,
        "replacement-key": f"#{argument.name.upper()}#",
    }
    if argument.kind == "flag":
        return entry | {"default-value": "false", "true-value": flag, "false-value": ""}
    entry |= {"command-line-flag": flag, "command-line-separator": " "}
    if argument.choices and not argument.several:
        entry["select-values"] = list(argument.choices)
    if argument.default is not None:
        entry["default-value"] = str(argument.default)
    return entry


def _levels() -> dict[str, Any]:
    """Return the input that holds the levels of the analysis, which the wrapper decides."""
    return {
        "name": "analysis_level",
        "description": "levels of the analysis",
        "type": "string",
        "required": True,
        "default-value": LEVELS[0],
        "replacement-key": "#ANALYSIS_LEVEL#",
    }


def _wrapper(what: str, levels: tuple[str, ...]) -> dict[str, Any]:
    context = {"session": "xnat:imageSessionData", "project": "xnat:projectData"}[what]
    return {
        "name": f"qsmengine-{what}",
        "label": f"qsmengine of a {what}",
        "description": f"Reconstruct a {what}",
        "contexts": [context],
        "external-inputs": [
            {
                "name": what,
                "description": f"The {what}",
                "type": what.capitalize(),
                "required": True,
                "provides-files-for-command-mount": "in",
                "via-setup-command": SETUP,
                "load-children": False,
            },
            {
                "name": "levels",
                "description": "levels of the analysis",
                "type": "string",
                "required": True,
                "default-value": " ".join(levels),
                "user-settable": False,
                "provides-value-for-command-input": "analysis_level",
            },
        ],
        "derived-inputs": [],
        "output-handlers": [
            {
                "name": "derivatives",
                "accepts-command-output": "derivatives",
                "as-a-child-of": what,
                "type": "Resource",
                "label": "QSMENGINE",
            }
        ],
    }
