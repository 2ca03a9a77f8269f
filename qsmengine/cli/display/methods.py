"""Listing of the registered methods."""

from __future__ import annotations

from qsmengine.cli.display.reporter import Reporter
from qsmengine.stages.catalogue import input_texts, output_texts, parameter_texts, source_url
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
    """Describe one method: summary, source, inputs, outputs and parameters."""
    lines = [
        f"{method.stage} --method {method.name}: {method.summary}",
        f"    source   {source_url(method)}",
        f"    inputs   {', '.join(input_texts(method))}  (? optional)",
        f"    outputs  {', '.join(output_texts(method))}",
    ]
    lines += [
        f"    --set {p.name}={p.default}  {p.description} ({p.allowed})" for p in parameter_texts(method.params)
    ]
    return lines
