"""Printing the registry."""

from __future__ import annotations

from qsmengine.cli.reporter import Reporter
from qsmengine.stages.method import Method
from qsmengine.stages.registry import all_methods, methods_of


def print_methods(reporter: Reporter, stage: str | None) -> None:
    """Print every method (of one stage) with its inputs, outputs, parameters and source."""
    chosen = all_methods() if stage is None else tuple(methods_of(stage).values())
    for method in chosen:
        for line in describe(method):
            reporter.say(line)
        reporter.say()


def describe(method: Method) -> list[str]:
    """Text of one method: what it does, where it is from, what goes in and out, its parameters."""
    lines = [
        f"{method.stage} --method {method.name}: {method.summary}",
        f"    source   https://doi.org/{method.doi}",
        f"    inputs   {', '.join(method.inputs)}  (? optional)",
        f"    outputs  {', '.join(f'{name} [{unit}]' for name, unit in method.outputs.items())}",
    ]
    for name, field in method.params.model_fields.items():
        lines.append(f"    --set {field.alias or name}={field.default}  {field.description or ''}".rstrip())
    return lines
