"""`python -m tools anatomy-picture`: segment a real T1-weighted image, print its volumes, and draw the result.

The figure is docs/images/anatomy-real.png. A structure that is not reliable, or a normalised volume that no
brain has, ends the run with a message.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

from qsmengine.backend.device import resolve_device
from qsmengine.errors import QsmengineError
from qsmengine.modalities.style import Style
from qsmengine.modalities.t1w.session import ALONE, AnatomyRequest
from qsmengine.modalities.t1w.stages import SECTIONS
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.report.figures import overview
from qsmengine.report.panels import Panel
from tools.markdown import IMAGES, ROOT

REAL = ROOT / "tests" / "data" / "brainchop-t1" / "T1w.nii.gz"
NBV = (1250.0, 1800.0)
"""Plausible volumes of an adult's brain, normalised for the size of the head [mL]."""
FRACTION = Style("gray", (0.0, 1.0), "")


class ImplausibleError(QsmengineError):
    """Volumes that a head cannot have."""

    exit_code = 1


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m tools anatomy-picture", description=__doc__)
    arguments.add_argument("--image", type=Path, default=REAL, help="T1-weighted image with skull")
    arguments.add_argument("--out", type=Path, default=IMAGES, help="folder for the figure")
    options = arguments.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = AnatomyRequest((options.image,), folder)
        ALONE.run(request, load_config(sections=SECTIONS), resolve_device("auto"))
        print_volumes(folder)
        draw(options.image, folder, options.out / "anatomy-real.png")
    return 0


def print_volumes(folder: Path) -> None:
    """Print the volumes of a folder's tables; raises ImplausibleError for those that a head cannot have."""
    (volumes,) = rows(next(folder.glob("*_volumes.tsv")))
    for column in ("gm", "wm", "csf", "brain", "nbv", "etiv"):
        print(f"{column:12} {float(volumes[column]) / 1000:7.0f} mL")
    faults = []
    for row in rows(next(folder.glob("*_desc-dgm_dseg.tsv"))):
        print(f"{row['name']:12} {row['hemisphere']:6} {float(row['volume']) / 1000:5.2f} mL")
        faults += [f"{row['name']}: {row['reasons']}"] if row["reliable"] == "0" else []
    if not NBV[0] <= float(volumes["nbv"]) / 1000 <= NBV[1]:
        faults.append(f"normalised brain volume {volumes['nbv']} mm^3")
    if faults:
        raise ImplausibleError("; ".join(faults))


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def draw(image: Path, folder: Path, path: Path) -> None:
    """Draw the image with the outlines of the deep grey matter, and the tissue fractions."""
    mask, labels = (next(folder.glob(f"*_desc-{name}.nii.gz")) for name in ("brain_mask", "dgm_dseg"))
    fractions = [
        Panel(next(folder.glob(f"*_label-{tissue}_probseg.nii.gz")), label, FRACTION)
        for tissue, label in (("GM", "grey matter"), ("WM", "white matter"), ("CSF", "fluid"))
    ]
    style = Style("gray", None, "")
    panels = [
        Panel(image, "brain mask", style, mask=mask),
        Panel(image, "deep grey matter", style, labels=labels),
        *fractions,
    ]
    overview(panels, path, "A real head: tissues and deep grey matter")
