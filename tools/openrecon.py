"""``python -m tools openrecon``: write docker/openrecon.json, the label of the image for scanners."""

from __future__ import annotations

import argparse
import json

from qsmengine.scanner.label import openrecon_label
from qsmengine.version import __version__
from tools.markdown import ROOT

PATH = ROOT / "docker" / "openrecon.json"


def text() -> str:
    """Return the content of the file."""
    return json.dumps(openrecon_label(__version__), indent=2) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools openrecon", description=__doc__)
    parser.parse_args(argv)
    PATH.write_text(text(), encoding="utf-8")
    print(PATH)
    return 0
