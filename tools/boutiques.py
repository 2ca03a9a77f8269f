"""``python -m tools boutiques``: write docker/boutiques.json from the arguments of ``qsmengine-bids``."""

from __future__ import annotations

import argparse
import json

from qsmengine.cli.bids.boutiques import descriptor
from qsmengine.version import __version__
from tools.markdown import ROOT

PATH = ROOT / "docker" / "boutiques.json"


def text() -> str:
    """Return the content of the file."""
    return json.dumps(descriptor(__version__, f"qsmengine:{__version__}-cpu"), indent=2) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools boutiques", description=__doc__)
    parser.parse_args(argv)
    PATH.write_text(text(), encoding="utf-8")
    print(PATH)
    return 0
