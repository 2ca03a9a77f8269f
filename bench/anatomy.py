"""`python -m bench anatomy`: tissues and deep grey matter of drawn T1-weighted images against the truth."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from qsmengine.backend.device import resolve_device
from qsmengine.data import Map
from qsmengine.modalities.t1w.run import run_anatomy
from qsmengine.modalities.t1w.stages import SECTIONS
from qsmengine.phantom.head import virtual_head
from qsmengine.phantom.structural import StructuralSettings
from qsmengine.phantom.structural_drawing import DRAWING, simulate
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.anatomy.structures import STRUCTURES


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench anatomy", description=__doc__)
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 2, 3], help="bundled heads")
    parser.add_argument("--voxel", type=float, default=1.0, help="voxel edge [mm]")
    parser.add_argument("--snr", type=float, default=30.0, help="SNR in white matter")
    parser.add_argument("--seed", type=int, default=5, help="of noise and receive field")
    options = parser.parse_args(argv)
    device = resolve_device("cpu")
    for subject in options.heads:
        image, truth = drawn(subject, options.voxel, options.snr, options.seed)
        found = run_anatomy(image, load_config(sections=SECTIONS), device)
        print(f"head {subject}: volumes against the truth [%]")
        parts = [("GM", "gm"), ("WM", "wm"), ("CSF", "csf")]
        sums = {name: (float(found[key].sum()), float(truth[name].sum())) for name, key in parts}
        sums["brain"] = (sums["GM"][0] + sums["WM"][0], sums["GM"][1] + sums["WM"][1])
        print("  " + ", ".join(f"{name} {100 * (a / b - 1):+.1f}" for name, (a, b) in sums.items()))
        print("  Dice, volume against the truth [%]")
        for s in STRUCTURES:
            ours = np.isin(found["dgm"], (s.left, s.right))
            true = np.isin(truth["structural_labels"], (s.left, s.right))
            both = 2 * float((ours & true).sum()) / float(ours.sum() + true.sum())
            print(f"  {s.name:12} {both:.3f} {100 * (float(ours.sum()) / float(true.sum()) - 1):+.1f}")
    return 0


def drawn(subject: int, voxel: float, snr: float, seed: int) -> tuple[Map, dict[str, Any]]:
    """Return a T1-weighted image, and true fractions and labels (x, y, z) on its grid."""
    settings = StructuralSettings(suffixes=("T1w",), voxel_size=(voxel, voxel, voxel))
    drawing = replace(DRAWING, simulate=partial(simulate, settings=settings))
    head = virtual_head(
        subject=subject,
        voxel_size=(3.0, 3.0, 3.0),
        modalities=(drawing,),
        snr=snr,
        seed=seed,
        echo_times=(0.01,),
    )
    series = head.series("t1w")
    image = Map(series.images["T1w"], "arbitrary", series.placement.grid)
    return image, {name: head.truth[name].array for name in ("GM", "WM", "CSF", "structural_labels")}


if __name__ == "__main__":
    raise SystemExit(main([]))
