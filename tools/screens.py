"""`python -m tools screens`: pages of one good session and of faulty ones, photographed for docs/quality.md.

The sessions are a virtual head (a mask with air, the wrong sign of the phase, breathing, an echo in another
unit) and the bundled diffusion series with swapped gradients and with lost slices. A faulty session whose light
is not red, or whose reasons do not name the fault, ends the run with a message. Needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qsmengine.data import GreSeries
from qsmengine.demo_data import demo_path
from qsmengine.errors import DeviceError, QsmengineError
from qsmengine.io.nifti import read_image, write_image
from qsmengine.phantom.artefacts import Artefacts, with_line_phase
from qsmengine.phantom.bids import write_bids
from qsmengine.phantom.head import virtual_head
from qsmengine.report.quality import find_quality
from tools.markdown import IMAGES

VOXEL = 2.5
WIDTH, HEIGHT, COLOURS = 1000, 760, 64
"""Size of the pictures [pixels], and number of their colours."""
BROWSER = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Options of Chromium: as root, and WebGL without a graphics card."""


class ScreenError(QsmengineError):
    """A page does not show what its picture is for."""


@dataclass(frozen=True)
class Case:
    """A session: expected light, word of its reasons, change of the series, options of the command."""

    name: str
    light: str
    word: str = ""
    change: Callable[[GreSeries], GreSeries] = lambda series: series
    options: tuple[str, ...] = ()


def other_unit(series: GreSeries) -> GreSeries:
    """Return the series with the phase of the last echo but one in half the unit of the others."""
    phase = series.phase.copy()
    phase[..., -2] *= 0.5
    return replace(series, phase=phase)


def breathing(series: GreSeries) -> GreSeries:
    """Return the series with phase errors of 1.5 rad between the lines of k-space."""
    lines = Artefacts(ghost=1.5).line_phase(series.grid.shape[1], np.random.default_rng(0))
    if lines is None:
        return series
    signal = series.magnitude * np.exp(1j * series.phase)
    moved = [with_line_phase(signal[..., e], lines, t) for e, t in enumerate(series.echo_times)]
    signal = np.stack(moved, axis=-1)
    return replace(series, magnitude=abs(signal).astype("f4"), phase=np.angle(signal).astype("f4"))


MASK = ("--mask", "{mask}", "--set", "single_step=none", "reliability=none", "background=resharp")
CASES = (
    Case("good", "green"),
    Case("sign", "red", "phase_sign=-1", lambda series: replace(series, phase=-series.phase)),
    Case("motion", "red", "motion", breathing),
    Case("wraps", "red", "wraps", other_unit),
    Case("mask", "red", "mask", options=MASK),
)
GRADIENTS = Case("gradients", "red", "swapped")
LOST = Case("lost", "red", "slices with signal loss")
SHARE, KEPT = 0.12, (0.2, 0.8)
"""Share of the slices of the diffusion-weighted volumes that lose signal, and the part of it that is left."""


def make(folder: Path) -> None:
    """Reconstruct every case into ``FOLDER/maps`` and report it."""
    from scipy.ndimage import binary_dilation

    head = virtual_head(voxel_size=(VOXEL,) * 3, snr=80, seed=0, modalities=("gre",))
    mask = folder / "mask.nii.gz"
    write_image(mask, binary_dilation(head.mask, iterations=3), head.grid)
    for case in CASES:
        images = tuple(one._replace(series=case.change(one.series)) for one in head.images)
        write_bids(replace(head, images=images), folder / "raw", case.name)
        files = sorted((folder / "raw" / f"sub-{case.name}" / "anat").glob("*MEGRE.nii.gz"))
        parts = {part: [f for f in files if f"part-{part}" in f.name] for part in ("mag", "phase")}
        options = [option.format(mask=mask) for option in case.options]
        _run("qsm", "-m", *parts["mag"], "-p", *parts["phase"], "--out", folder / "maps", *options)
    for case, spoil in ((GRADIENTS, _swap), (LOST, _lose)):
        image = _bundled(folder, case.name)
        spoil(image)
        prefix = folder / "maps" / f"sub-{case.name}" / "dwi" / f"sub-{case.name}"
        _run("dti", "--dwi", image, "--names", "bids", "--out", prefix)
    _run("report", folder / "maps", "--interactive")


def _bundled(folder: Path, name: str) -> Path:
    """Return a copy of the bundled diffusion series, as the session `name`."""
    place = folder / "raw" / f"sub-{name}" / "dwi"
    place.mkdir(parents=True)
    for ending in ("nii.gz", "bval", "bvec", "json"):
        source = demo_path("siemens-dwi-brain-with-vendor-maps") / f"dwi.{ending}"
        shutil.copy(source, place / f"sub-{name}_dwi.{ending}")
    return place / f"sub-{name}_dwi.nii.gz"


def _swap(image: Path) -> None:
    """Exchange two rows of the gradient table of a diffusion series."""
    table = image.with_name(image.name.replace(".nii.gz", ".bvec"))
    np.savetxt(table, np.loadtxt(table)[[1, 0, 2]], fmt="%.8f")


def _lose(image: Path) -> None:
    """Scale some slices of some volumes of a diffusion series down."""
    signal, grid, _ = read_image(image)
    rng = np.random.default_rng(0)
    kept = np.where(rng.random(signal.shape[2:]) < SHARE, rng.uniform(*KEPT, signal.shape[2:]), 1.0)
    kept[:, :1] = 1.0
    write_image(image, signal * kept.astype(np.float32), grid)


def _run(*words: str | Path) -> None:
    command = [sys.executable, "-m", "qsmengine", *map(str, words), "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ScreenError(f"{' '.join(map(str, words[:1]))}: {done.stderr or done.stdout}")


def check(maps: Path) -> None:
    """Raise ScreenError unless every case has its light and names its fault."""
    found = {one.session: one.verdict for one in find_quality(maps)}
    for case in (*CASES, GRADIENTS, LOST):
        verdict = found[f"sub-{case.name}"]
        print(f"{case.name:10} {verdict.light}: {'; '.join(verdict.reasons)}")
        if verdict.light != case.light or not any(case.word in text for text in verdict.reasons or ("",)):
            raise ScreenError(f"{case.name} is {verdict.light}: {verdict.reasons}")


def photograph(maps: Path, out: Path) -> None:
    """Write session-NAME.png of every case, cohort-page.png, and panels and volumes of the good session."""
    try:
        from PIL import Image
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise DeviceError(f"{error.name} is not installed") from None
    pages = {f"session-{case.name}": f"sub-{case.name}.html" for case in (*CASES, GRADIENTS, LOST)}
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=list(BROWSER))
        shown = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        others = {
            "session-panels": "sub-good.html#part-1",
            "cohort-page": "index.html",
            "volumes": "sub-good_volumes.html",
        }
        for name, file in {**pages, **others}.items():
            path, _, part = file.partition("#")
            shown.goto((maps / path).as_uri() + (f"#{part}" if part else ""))
            if name == "volumes":
                shown.wait_for_selector("html[data-ready]")
                shown.locator("#canvas").focus()
                for key in ("ArrowLeft",) * 7 + ("PageUp",) * 6:
                    shown.keyboard.press(key)
            target = out / f"{name}.png"
            place = shown.locator("figure").last if name == "session-lost" else shown
            place.screenshot(path=target)
            with Image.open(target) as picture:
                small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            small.save(target, optimize=True)
        browser.close()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools screens", description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder for the pictures")
    parser.add_argument("--folder", type=Path, help="where to make the sessions; a temporary folder")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        make(Path(name))
        check(Path(name) / "maps")
        photograph(Path(name) / "maps", options.out)
    return 0
