"""`python -m bench regions`: susceptibility under labels of a drawn T1-weighted image, and under true labels.

A virtual head is drawn with gradient echoes, diffusion, a bolus and a T1-weighted image in another pose and
resolution. `qsmengine run` segments it, registers it with every series, and tabulates the maps.
Printed are the error of each registration in the deep grey matter [mm], and mean susceptibility [ppb] under
the session's labels and under the true ones, both weighted by the part of each voxel. `--wrong` exchanges the
T1-weighted image for that of another head, and for its mirror image, which must be refused.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qsmengine.cohort.ledger.records import read_record
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.io.nifti import read_image, write_image
from qsmengine.io.transforms import read_matrix
from qsmengine.ops.transforms import Transform, boxed_fractions
from qsmengine.phantom.bids import write_bids
from qsmengine.phantom.dsc_drawing import DRAWING as DSC
from qsmengine.phantom.head import VirtualHead, virtual_head
from qsmengine.phantom.structural import StructuralSettings
from qsmengine.phantom.structural_drawing import DRAWING, simulate
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.anatomy.structures import NUMBERS

KEY = "sub-01"
SERIES = ("gre", "dwi", "dsc")


class _Truth(NamedTuple):
    """True labels on the grid of the T1-weighted image, and the motion of the head between the two."""

    labels: npt.NDArray[np.int32]
    motion: Transform


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench regions", description=__doc__)
    parser.add_argument("--head", type=int, default=1, help="bundled head")
    parser.add_argument("--other", type=int, default=2, help="bundled head of the wrong T1-weighted image")
    parser.add_argument("--voxel", type=float, default=2.0, help="voxel edge of the series [mm]")
    parser.add_argument("--preset", default="fast", help="preset of the reconstruction")
    parser.add_argument("--wrong", action="store_true", help="pairs that must be refused")
    options = parser.parse_args(argv)
    with TemporaryDirectory() as folder:
        bids, out = Path(folder, "bids"), Path(folder, "out")
        head = drawn(options.head, options.voxel, snr=60.0)
        write_bids(head, bids, "01")
        shutil.rmtree(bids / "derivatives")  # its labels would take the place of the session's own
        _run(bids, out, options.preset)
        _print_accuracy(head, out)
        if options.wrong:
            _print_refusals(bids, Path(folder), options)
    return 0


def drawn(subject: int, voxel: float, snr: float) -> VirtualHead:
    """Return a head whose T1-weighted image has voxels of 1 mm and another pose."""
    settings = StructuralSettings(
        suffixes=("T1w",), voxel_size=(1.0, 1.0, 1.0), rotation=(6.0, -5.0, 7.0), shift=(6.0, -5.0, 4.0)
    )
    structural = replace(DRAWING, simulate=partial(simulate, settings=settings))
    return virtual_head(
        subject=subject, voxel_size=(voxel, voxel, voxel), modalities=("gre", "dwi", DSC, structural),
        echo_times=(0.006, 0.012, 0.018, 0.024), snr=snr,
    )  # fmt: skip


def _run(bids: Path, out: Path, preset: str) -> None:
    plan = plan_cohort(bids, out, load_config(preset=preset))
    run_cohort(plan, RunSettings(workers=0, device="cpu"))
    record, _ = read_record(out, KEY)
    for name, step in {} if record is None else record.steps.items():
        print(f"{name}: {step.state}, {step.seconds:.0f} s {step.reason}")


def _print_accuracy(head: VirtualHead, out: Path) -> None:
    placed = head.series("t1w").placement
    truth = _Truth(head.truth["structural_labels"].array.astype(np.int32), Transform(placed.motion))
    voxels = np.argwhere(np.isin(head.labels, NUMBERS))
    points = np.asarray(voxels @ head.grid.affine[:3, :3].T + head.grid.affine[:3, 3], dtype=np.float64)
    for name in SERIES:
        path = out / KEY / "anat" / f"{KEY}_from-T1w_to-{name}_mode-image_xfm.txt"
        if path.is_file():
            off = Transform(read_matrix(path))(points) - truth.motion(points)
            print(f"{name}: off by {np.linalg.norm(off, axis=1).mean():.2f} mm")
    chi = read_image(out / KEY / "anat" / f"{KEY}_Chimap.nii.gz").array
    inside = read_image(out / KEY / "anat" / f"{KEY}_desc-reliable_mask.nii.gz").array > 0
    table = out / KEY / "anat" / f"{KEY}_seg-anatomy_desc-dgm_stats.tsv"
    print("structure, side: own labels, true labels, difference [ppb]")
    with table.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            if row["index"] == "n/a" or row["chi_mean"] == "n/a":
                continue
            part = boxed_fractions(truth.labels, placed.grid, head.grid, truth.motion, [int(row["index"])])
            weight = np.zeros(head.grid.shape)
            weight[part.box] = part.fractions[..., 0]
            weight *= inside
            ours, true = 1e3 * float(row["chi_mean"]), 1e3 * float((weight * chi).sum() / weight.sum())
            mark = "" if row["reliable"] == "1" else f" ({row['reasons']})"
            print(f"{row['region']}, {row['hemisphere']}: {ours:.1f}, {true:.1f}, {ours - true:+.1f}{mark}")


def _print_refusals(bids: Path, folder: Path, options: argparse.Namespace) -> None:
    """Exchange the T1-weighted image for wrong ones; all series but its own stay."""
    name = f"{KEY}/anat/{KEY}_T1w.nii.gz"
    image = read_image(bids / name)
    other = drawn(options.other, 4.0, snr=60.0).series("t1w")
    wrong = {
        f"T1-weighted image of head {options.other}": (other.images["T1w"], other.placement.grid),
        "mirrored T1-weighted image": (np.ascontiguousarray(image.array[::-1]), image.grid),
    }
    for number, (title, (array, grid)) in enumerate(wrong.items()):
        print(title)
        write_image(bids / name, array, grid)
        _run(bids, folder / f"wrong{number}", options.preset)


if __name__ == "__main__":
    raise SystemExit(main([]))
