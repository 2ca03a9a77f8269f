"""`python -m tools tutorial`: run the commands of docs/tutorial.md and draw its pictures."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from qsmengine.demo_data import demo_path
from qsmengine.errors import QsmengineError
from qsmengine.report.figures import overview
from qsmengine.report.panels import Panel
from tools.markdown import DOCS, IMAGES
from tools.panels import tensor_panels

PAGE = DOCS / "tutorial.md"
BRAIN = (-0.3, 0.3)
HEAD = (-0.15, 0.15)
"""Windows of susceptibility [ppm]: the real head of short echoes, the virtual head."""


class TutorialError(QsmengineError):
    """A command of the tutorial failed."""


def commands(page: str) -> str:
    """Return the shell commands of a page, one script."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL))


def run(folder: Path) -> str:
    """Run the tutorial in `folder`; return what it prints.

    Raises
    ------
    TutorialError
        With the output, for a command that fails.
    """
    script = f"set -euo pipefail\n{commands(PAGE.read_text(encoding='utf-8'))}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise TutorialError(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools tutorial", description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder for the pictures")
    out = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(run(folder))
        draw(folder, out)
    return 0


def draw(folder: Path, out: Path) -> None:
    """Write tutorial-brain.png, tutorial-tensor.png and tutorial-head.png from the maps in `folder`."""
    brain = folder / "brain"
    magnitude = demo_path("philips-gre-2echo-brain") / "echo-1_mag.nii.gz"
    panels = [
        Panel(magnitude, "magnitude", "magnitude", mask=brain / "desc-brain_mask.nii.gz"),
        Panel(brain / "desc-total_fieldmap.nii.gz", "total field", "field_hz", window=(-150.0, 150.0)),
        Panel(brain / "Chimap.nii.gz", "susceptibility", "chi", window=BRAIN),
        Panel(folder / "brain-tkd" / "Chimap.nii.gz", "V-SHARP and TKD", "chi", window=BRAIN),
    ]
    overview(panels, out / "tutorial-brain.png", "Bundled head, 3 T, two echoes")
    overview(
        tensor_panels(folder / "tensor" / "brain"), out / "tutorial-tensor.png", "Bundled series, b = 2500, WLS"
    )
    maps, truth = folder / "maps/sub-01/anat", folder / "head/derivatives/truth/sub-01/anat"
    panels = [
        Panel(maps / "sub-01_desc-local_fieldmap.nii.gz", "local field", "field_hz", window=(-10.0, 10.0)),
        Panel(maps / "sub-01_Chimap.nii.gz", "estimated susceptibility", "chi", window=HEAD),
        Panel(truth / "sub-01_Chimap.nii.gz", "true susceptibility", "chi", window=HEAD,
              mask=maps / "sub-01_desc-brain_mask.nii.gz"),
    ]  # fmt: skip
    overview(panels, out / "tutorial-head.png", "Virtual head, 2 mm, four echoes, SNR 100")
