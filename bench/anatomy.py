"""`python -m bench anatomy`: tissues and deep grey matter of drawn T1-weighted images against the truth.

Printed are also the differences of mean susceptibility [ppb] under the labels found and the true ones, of the
map that the head was drawn from, at 2 mm.

`--poses` segments each image twice more, with the head scaled by 1.1 and with the head rotated and resliced,
and prints the changes of the normalised volumes.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from qsmengine.backend.device import Device, resolve_device
from qsmengine.data import Map
from qsmengine.grid import Grid
from qsmengine.modalities.t1w.run import BrainVolumes, run_anatomy
from qsmengine.modalities.t1w.stages import SECTIONS
from qsmengine.ops.transforms import Transform, boxed_fractions, bring
from qsmengine.phantom.head import VirtualHead, virtual_head
from qsmengine.phantom.structural import StructuralSettings, rotation_matrix
from qsmengine.phantom.structural_drawing import DRAWING, simulate
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.stages.anatomy.structures import NUMBERS, STRUCTURES


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench anatomy", description=__doc__)
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 2, 3], help="bundled heads")
    parser.add_argument("--voxel", type=float, default=1.0, help="voxel edge [mm]")
    parser.add_argument("--snr", type=float, default=30.0, help="SNR in white matter")
    parser.add_argument("--seed", type=int, default=5, help="of noise and receive field")
    parser.add_argument("--deformation", type=float, default=0.0, help="of the label map [mm]")
    parser.add_argument("--poses", action="store_true", help="normalised volumes of scaled and rotated heads")
    options = parser.parse_args(argv)
    device = resolve_device("cpu")
    for subject in options.heads:
        image, truth, head = drawn(
            subject, options.voxel, options.snr, options.seed, deformation=options.deformation
        )
        found = run_anatomy(image, load_config(sections=SECTIONS), device)
        print(f"head {subject}: volumes against the truth [%]")
        parts = [("GM", "gm"), ("WM", "wm"), ("CSF", "csf")]
        sums = {name: (float(found[key].sum()), float(truth[name].sum())) for name, key in parts}
        sums["brain"] = (sums["GM"][0] + sums["WM"][0], sums["GM"][1] + sums["WM"][1])
        print("  " + ", ".join(f"{name} {100 * (a / b - 1):+.1f}" for name, (a, b) in sums.items()))
        print("  Dice, volume against the truth [%], difference of susceptibility [ppb]")
        chi = [_under(head, labels) for labels in (found["dgm"], truth["structural_labels"])]
        for s in STRUCTURES:
            ours = np.isin(found["dgm"], (s.left, s.right))
            true = np.isin(truth["structural_labels"], (s.left, s.right))
            both = 2 * float((ours & true).sum()) / float(ours.sum() + true.sum())
            volume = sum(v.volume for v in found.structures if v.name == s.name) / image.grid.voxel_volume
            apart = np.mean([chi[0][n] - chi[1][n] for n in (s.left, s.right)])
            print(f"  {s.name:12} {both:.3f} {100 * (volume / float(true.sum()) - 1):+.1f} {apart:+.1f}")
        if options.poses:
            _print_poses(image, found.volumes, device)
    return 0


def _under(head: VirtualHead, labels: Any) -> dict[int, float]:
    """Return the mean true susceptibility [ppb] under each label (x, y, z) of the T1-weighted image."""
    placed = head.series("t1w").placement
    part = boxed_fractions(
        np.asarray(labels, np.int32), placed.grid, head.grid, Transform(placed.motion), NUMBERS
    )
    chi = 1e3 * head.truth["chi"].array[part.box]
    weights = part.fractions.astype(np.float64)
    return {n: float((weights[..., k] * chi).sum() / weights[..., k].sum()) for k, n in enumerate(NUMBERS)}


def _print_poses(image: Map, plain: BrainVolumes, device: Device) -> None:
    """Print brain volume, normalised volume and head size of the head, and their changes in other poses."""
    size = plain.size
    if size is None:
        raise RuntimeError("the size of the head is unknown")
    print(f"  brain {plain.brain / 1000:.0f} mL, NBV {plain.brain * size.scaling / 1000:.0f} mL, "
          f"eTIV {size.intracranial / 1000:.0f} mL from the {size.origin}")  # fmt: skip
    for name, other in (("scaled by 1.1", scaled(image)), ("rotated and resliced", rotated(image))):
        changed = run_anatomy(other, load_config(sections=SECTIONS), device).volumes
        changes = {"brain": changed.brain / plain.brain}
        for label, part in (("NBV", "brain"), ("NGMV", "gm"), ("NWMV", "wm")):
            ours, before = (v.normalised(getattr(v, part)) or np.nan for v in (changed, plain))
            changes[label] = ours / before
        words = ", ".join(f"{label} {100 * (ratio - 1):+.2f}" for label, ratio in changes.items())
        print(f"  {name}: change [%] {words}")


def scaled(image: Map, factor: float = 1.1) -> Map:
    """Return an image of the head scaled by `factor`."""
    affine = np.diag([factor, factor, factor, 1.0]) @ image.grid.affine
    return Map(image.array, image.unit, Grid(image.grid.shape, affine, image.grid.field_strength))


def rotated(image: Map) -> Map:
    """Return the head rotated by 12, -9 and 15 degrees and shifted, in voxels of 0.9 x 1 x 1.2 mm."""
    grid, edges, turn = image.grid, np.array([0.9, 1.0, 1.2]), np.eye(4)
    turn[:3, :3], turn[:3, 3] = rotation_matrix((12.0, -9.0, 15.0)), (5.0, -8.0, 6.0)
    ends = np.array([grid.affine @ [*c, 1.0] for c in itertools.product(*((0, n - 1) for n in grid.shape))])
    corners = (ends @ np.linalg.inv(turn).T)[:, :3]
    affine = np.diag([*edges, 1.0])
    affine[:3, 3] = corners.min(axis=0)
    x, y, z = (int(n) for n in np.ceil((corners.max(axis=0) - corners.min(axis=0)) / edges) + 1)
    target = Grid((x, y, z), affine, grid.field_strength)
    return Map(bring(image.array, grid, target, Transform(turn), order=3), image.unit, target)


def drawn(
    subject: int, voxel: float, snr: float, seed: int, *, deformation: float = 0.0
) -> tuple[Map, dict[str, Any], VirtualHead]:
    """Return a T1-weighted image, true fractions and labels (x, y, z) on its grid, and the head."""
    settings = StructuralSettings(suffixes=("T1w",), voxel_size=(voxel, voxel, voxel))
    drawing = replace(DRAWING, simulate=partial(simulate, settings=settings))
    head = virtual_head(
        subject=subject,
        voxel_size=(2.0, 2.0, 2.0),
        modalities=(drawing,),
        snr=snr,
        seed=seed,
        echo_times=(0.01,),
        deformation=deformation,
    )
    series = head.series("t1w")
    image = Map(series.images["T1w"], "arbitrary", series.placement.grid)
    return image, {name: head.truth[name].array for name in ("GM", "WM", "CSF", "structural_labels")}, head


if __name__ == "__main__":
    raise SystemExit(main([]))
