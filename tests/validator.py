"""The official BIDS validator, from the wheel that the tests install."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def validate(folder: Path) -> list[dict[str, Any]]:
    """Issues that the official validator finds, which is skipped visibly where it cannot run."""
    beside = Path(sys.executable).parent / "bids-validator-deno"
    program = str(beside) if beside.exists() else shutil.which("bids-validator-deno")
    if program is None:
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run([program, "--format", "json", str(folder)], capture_output=True, check=False)
    try:
        return json.loads(done.stdout)["issues"]["issues"]
    except ValueError:
        pytest.skip(f"bids-validator-deno does not run here: {done.stderr.decode()[-200:]}")


def errors(folder: Path) -> list[tuple[Any, ...]]:
    return [
        (i["code"], i.get("subCode"), i.get("location")) for i in validate(folder) if i["severity"] == "error"
    ]
