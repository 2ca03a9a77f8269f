"""Boutiques descriptor of ``qsmengine-bids``, built from the declaration of its arguments."""

from __future__ import annotations

from typing import Any

from qsmengine.cli.bids.arguments import ARGUMENTS, Argument

SCHEMA = "0.5"
TYPES = {
    "integer": "Number",
    "number": "Number",
    "file": "File",
    "folder": "File",
    "flag": "Flag",
    "text": "String",
}
LEFT_OUT = frozenset({"version", "output_dir"})
"""Arguments that are not job inputs, and the output folder, which is a name and not an existing file."""


def descriptor(version: str, image: str) -> dict[str, Any]:
    """Return the descriptor (schema 0.5) for a version and its container image."""
    inputs = [_input(argument) for argument in ARGUMENTS if argument.name not in LEFT_OUT]
    inputs.insert(1, _output_folder())
    keys = " ".join(entry["value-key"] for entry in inputs)
    return {
        "name": "qsmengine-bids",
        "description": "Quantitative susceptibility mapping and diffusion reconstruction of a BIDS dataset",
        "tool-version": version,
        "schema-version": SCHEMA,
        "command-line": f"qsmengine-bids {keys}",
        "container-image": {"type": "docker", "image": image},
        "inputs": inputs,
        "output-files": [
            {
                "id": "results",
                "name": "Derivatives",
                "description": "BIDS derivatives, pages and ledger",
                "path-template": "[OUTPUT_DIR]",
            }
        ],
        "error-codes": [
            {"code": code, "description": text}
            for code, text in (
                (1, "some sessions failed"),
                (2, "usage or configuration"),
                (3, "invalid input"),
                (4, "environment: GPU, memory or package missing"),
                (130, "interrupted"),
            )
        ],
        "tags": {"domain": ["neuroinformatics", "mri"]},
    }


def _input(argument: Argument) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": argument.name,
        "name": argument.name.replace("_", " "),
        "description": argument.help,
        "type": TYPES.get(argument.kind, "String"),
        "value-key": f"[{argument.name.upper()}]",
        "optional": bool(argument.flags),
    }
    if argument.flags:
        entry["command-line-flag"] = next(flag for flag in argument.flags if flag.startswith("--"))
    if argument.several:
        entry |= {"list": True, "list-separator": " "}
    if argument.kind == "integer":
        entry["integer"] = True
    if argument.bounds is not None:
        entry |= {"minimum": argument.bounds.least, "maximum": argument.bounds.most}
    if argument.choices:
        entry["value-choices"] = list(argument.choices)
    if argument.default is not None:
        entry["default-value"] = argument.default
    return entry


def _output_folder() -> dict[str, Any]:
    folder = next(argument for argument in ARGUMENTS if argument.name == "output_dir")
    return {**_input(folder), "type": "String"}
