"""``python -m tools submissions DIR``: write a folder for the QSM-CI benchmark per registered method.

Each contains ``algorithm.yml``, ``run.sh``, which calls ``qsmengine qsm-ci``, and a ``Dockerfile`` whose image
is the CPU image of this version without its entry point. Every method of the benchmark's stages is included.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from qsmengine.io.atomic import write_text
from qsmengine.report.methods_text import reference
from qsmengine.stages.method import Method
from qsmengine.stages.registry import methods_of
from qsmengine.version import __version__

UNWRAP = "romeo"
"""Unwrapping method of spans that begin with unwrapping and whose method does not include it."""


@dataclass(frozen=True)
class Submission:
    """A method in a stage (or span) of the benchmark; `names` are the values of ``--method``."""

    stage: str
    names: tuple[str, ...]
    method: Method

    @property
    def slug(self) -> str:
        """Name of the folder."""
        return f"{self.method.name.replace('_', '-')}-qsmengine"

    @property
    def files(self) -> Mapping[str, str]:
        """Name -> content."""
        return {"algorithm.yml": self._algorithm(), "run.sh": self._script(), "Dockerfile": dockerfile()}

    def _algorithm(self) -> str:
        entry: dict[str, Any] = {
            "name": f"{self.method.name} (qsmengine)",
            "slug": self.slug,
            "algorithm": self.method.name.replace("_", "-"),
            "source": "qsmengine",
            "stage": self.stage,
            "language": "CUDA C++ / Python",
            "learning": "none",
            "engine": f"qsmengine {__version__}",
            "description": f"{self.method.summary[:1].upper()}{self.method.summary[1:]}.",
            "citation": reference(self.method.doi),
            "doi": self.method.doi,
            "license": "BSD-3-Clause",
            "run": "bash run.sh",
            "parameters": [
                {
                    "name": field.alias or name,
                    "default": _plain(field.default),
                    "description": field.description,
                }
                for name, field in self.method.params.model_fields.items()
            ],
        }
        return yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=100)

    def _script(self) -> str:
        return SCRIPT.format(stage=self.stage, method="+".join(self.names))


SCRIPT = """\
#!/usr/bin/env bash
set -euo pipefail
exec qsmengine qsm-ci {stage} "${{QSMCI_INPUT:-/input}}" "${{QSMCI_OUTPUT:-/output}}" \\
  --method {method} --device cpu
"""


def dockerfile() -> str:
    """Return the Dockerfile of every submission; the benchmark calls bash in its image."""
    return f"FROM qsmengine:{__version__}-cpu\nENTRYPOINT []\n"


def submissions() -> list[Submission]:
    """Return every registered method that is a stage, or a span of stages, of the benchmark."""
    found = [Submission("field-mapping", (m.name,), m) for m in methods_of("unwrap").values()]
    for method in methods_of("background").values():
        from_field = set(method.required_inputs) <= {"total_field", "mask"}
        stage, names = ("bfr", ()) if from_field else ("unwrap+bfr", (UNWRAP,))
        found.append(Submission(stage, (*names, method.name), method))
    found += [Submission("dipole", (m.name,), m) for m in methods_of("inversion").values()]
    for method in methods_of("single-step").values():
        from_field = set(method.required_inputs) <= {"total_field", "mask"}
        stage, names = ("bfr+dipole", ()) if from_field else ("end-to-end", (UNWRAP,))
        found.append(Submission(stage, (*names, method.name), method))
    return found


def write(folder: Path) -> list[Path]:
    """Write all of them below `folder`; return their folders."""
    places = []
    for entry in submissions():
        place = folder / entry.slug
        for name, content in entry.files.items():
            write_text(place / name, content)
        (place / "run.sh").chmod(0o755)
        places.append(place)
    return places


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools submissions", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder to write into")
    for place in write(parser.parse_args(argv).folder):
        print(place)
    return 0


def _plain(value: Any) -> Any:
    """A default for YAML."""
    return list(value) if isinstance(value, tuple) else value
