"""``python -m tools xnat``: write docker/xnat.json and the labels of the Dockerfiles."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from qsmengine.cli.bids.xnat import LABEL, command, label
from qsmengine.version import __version__
from tools.markdown import ROOT

DOCKER = ROOT / "docker"
_LABEL = re.compile(rf"^LABEL {re.escape(LABEL)}=.*$", re.MULTILINE)


def texts() -> dict[Path, str]:
    """Return the content of each file."""
    found = {DOCKER / "xnat.json": json.dumps(command(__version__, _image("cpu")), indent=2) + "\n"}
    for variant in ("cpu", "cuda"):
        path = DOCKER / f"{variant}.Dockerfile"
        line = label(command(__version__, _image(variant), gpu=variant == "cuda"))
        found[path] = line.join(_LABEL.split(path.read_text(encoding="utf-8")))
    return found


def _image(variant: str) -> str:
    return f"qsmengine:{__version__}-{variant}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools xnat", description=__doc__)
    parser.parse_args(argv)
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0
