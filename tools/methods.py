"""`python -m tools methods`: docs/methods.md and the tables of docs/presets.md, from registry and presets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from qsmengine.stages.catalogue import (
    input_texts,
    output_texts,
    parameter_texts,
    source_url,
)
from qsmengine.stages.method import Method
from qsmengine.stages.registry import get_stage, methods_of, stage_names
from tools.markdown import DOCS, ROOT, table
from tools.preset_table import with_table

METHODS_PAGE = DOCS / "methods.md"
PRESETS_PAGE = DOCS / "presets.md"
HEAD = """\
# Methods

Written by `python -m tools methods` from the registry; `qsmengine stage --list` prints the same. The formula
and the assumptions of a method stand at the top of its module in `qsmengine/stages`.

An input whose name ends in ? is optional. Parameters are set with `--set SECTION.NAME=VALUE`, where the
section is the stage's name with `_` for `-`; a default of `none` means that the method decides.
"""


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m tools methods", description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing; fail where a page differs")
    options = arguments.parse_args(argv)
    pages = {METHODS_PAGE: methods_page(), PRESETS_PAGE: with_table(_read(PRESETS_PAGE))}
    stale = [path for path, text in pages.items() if _read(path) != text]
    for path in stale:
        if options.check:
            print(f"{path.relative_to(ROOT)} is out of date: python -m tools methods", file=sys.stderr)
        else:
            path.write_text(pages[path], encoding="utf-8")
    return int(options.check and bool(stale))


def methods_page() -> str:
    """Text of docs/methods.md."""
    parts = [HEAD, _contents()]
    for stage in stage_names():
        parts.append(f"## {stage}\n\n{get_stage(stage).purpose}\n")
        parts.extend(_method_text(method) for method in methods_of(stage).values())
    return "\n".join(parts)


def _contents() -> str:
    rows = [
        [
            f"[{stage}](#{stage})",
            get_stage(stage).purpose,
            ", ".join(f"`{name}`" for name in methods_of(stage)),
        ]
        for stage in stage_names()
    ]
    return table(("stage", "what it does", "methods"), rows)


def _method_text(method: Method) -> str:
    text = (
        f"### {method.stage} / {method.name}\n\n{_sentence(method.summary)} "
        f"Source: [{method.doi}]({source_url(method)})\n\n"
        f"- inputs: {', '.join(input_texts(method))}\n"
        f"- outputs: {', '.join(output_texts(method))}\n"
    )
    rows = [(f"`{p.name}`", p.default, p.allowed, p.description) for p in parameter_texts(method.params)]
    return text + ("\n" + table(("parameter", "default", "allowed", "meaning"), rows) if rows else "")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
