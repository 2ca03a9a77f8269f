"""`python -m bench atlas`: nuclei of atlases in drawn heads against the truth, with and without susceptibility.

The label maps of the heads have no red nucleus, substantia nigra, or nuclei of the thalamus. The truth is the
atlas, warped to the head's true structures and T1-weighted image, and then displaced by a smooth random field
(8 mm) that neither of them shows. Susceptibilities of the nuclei are nominal ones times 1 +- 0.25,
+- 10 ppb, not those of the template; the rest of the head has those of its tissues, +- 5 ppb. The map (1.5 mm)
comes from the dipole field with noise, inverted by truncated division (0.15). The structures are the network's.

Printed are, for the T1-weighted images alone, with the network's structures, and with the susceptibility map:
the Dice overlap and the difference of mean susceptibility [ppb] of every nucleus, the mean of both sides; and
the overlap of atlas and network that the check uses. The last lines compare the structures that both have with
the true ones: those of the network, of the atlas, and the mean of both.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.anatomy import drawn
from qsmengine.backend.device import resolve_device
from qsmengine.backend.fft import RealFFT
from qsmengine.grid import Grid
from qsmengine.modalities.t1w.run import run_anatomy
from qsmengine.modalities.t1w.stages import SECTIONS
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.registration import Channel, find_warp
from qsmengine.ops.transforms import Transform, Volume, Warp, boxed_fractions, bring
from qsmengine.phantom.tissue import tissue_table
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.sessions.atlas import read_template
from qsmengine.stages.anatomy.atlas import (
    CHI,
    CIT168,
    RIGHT,
    SHARED,
    SIDES,
    THALAMUS,
    Head,
    Template,
    place_atlas,
    starting_matrix,
    working_grid,
)
from qsmengine.stages.inversion.setup import thresholded_inverse
from qsmengine.stats.labels.tables import ATLASES, atlas_image, load_label_table, template_image

MIDBRAIN = (7, 8, 9, 16)
"""Nuclei of CIT168 that are drawn, left: substantia nigra compacta, red nucleus, reticulata, subthalamic."""
SMOOTH, THRESHOLD, NOISE = 8.0, 0.15, 0.004
"""Width of the random displacements [mm]; threshold of the inversion; noise of the field [ppm]."""
PARTS = {"T1": 1, "T1, structures": 2, "T1, structures, chi": 3}
"""Channels of each comparison."""
Key = tuple[str, int]


class Truth(NamedTuple):
    """Fractions of the true nuclei (x, y, z), the drawn susceptibility, the map [ppm], and their grid."""

    nuclei: Mapping[Key, Volume]
    chi: Volume
    map: Volume
    grid: Grid


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench atlas", description=__doc__)
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 3], help="bundled heads")
    parser.add_argument("--seed", type=int, default=205, help="of noise, displacement, and susceptibility")
    parser.add_argument("--deformation", type=float, default=0.0, help="of the label map [mm]")
    parser.add_argument("--displacement", type=float, default=1.0, help="of the nuclei, root mean square [mm]")
    options = parser.parse_args(argv)
    for subject in options.heads:
        image, truth, _ = drawn(subject, 1.0, 30.0, options.seed, deformation=options.deformation)
        found = run_anatomy(image, load_config(sections=SECTIONS), resolve_device("cpu"))
        print(f"head {subject}")
        _compare(image.grid, found["corrected"], found["dgm"], truth, options)
    return 0


def _compare(grid: Grid, brain: Volume, network: Any, truth: Mapping[str, Any], options: Any) -> None:
    rng = np.random.default_rng(options.seed)
    template = read_template(template_image(), {name: atlas_image(name) for name in ATLASES})
    made = _draw(grid, brain, truth, template, options.displacement, rng)
    head = Head(brain, network, grid, Transform(np.eye(4)), made.map, made.grid)
    for name, count in PARTS.items():
        begun = time.process_time(), time.perf_counter()

        def find(channels: Sequence[Channel], *more: Any, first: int = count) -> Transform:
            return find_warp(channels[:first], *more)

        placed = place_atlas(head, template, find=find)
        spent = time.process_time() - begun[0], time.perf_counter() - begun[1]
        print(f"  {name}: {spent[0]:.0f} s of a processor, {spent[1]:.0f} s")
        print("    Dice, chi [ppb]: " + ", ".join(_scores(placed.transform, template, made)))
        print("    overlap, left and right: " + ", ".join(
            f"{one.name} {placed.overlap[one.name, SIDES[0]]:.2f} {placed.overlap[one.name, SIDES[1]]:.2f}"
            for one in SHARED))  # fmt: skip
    _print_shared(head, placed.transform, template, truth["structural_labels"], made)


def _fractions(labels: Any, grid: Grid, target: Grid, transform: Transform, number: int) -> Volume:
    found = np.zeros(target.shape, np.float32)
    part = boxed_fractions(np.where(labels == number, number, 0), grid, target, transform, [number])
    found[part.box] = part.fractions[..., 0]
    return found


def _draw(
    grid: Grid,
    brain: Volume,
    truth: Mapping[str, Any],
    template: Template,
    size: float,
    rng: np.random.Generator,
) -> Truth:
    """Draw nuclei and susceptibility into a head."""
    from scipy.ndimage import gaussian_filter

    true = np.asarray(truth["structural_labels"], np.int32)
    same = Transform(np.eye(4))
    own = Head(brain, true, grid, same, brain, grid)
    target = working_grid(starting_matrix(own, template), template.grid)
    warp = place_atlas(own, template, find=lambda channels, *more: find_warp(channels[1::-1], *more)).transform
    edge = target.voxel_edges[0]
    field = np.stack([gaussian_filter(rng.standard_normal(target.shape), SMOOTH / edge) for _ in range(3)], -1)
    field *= size / np.sqrt((field**2).sum(axis=-1).mean())
    if warp.warp is None:
        raise RuntimeError("the registration found no warp")
    warp = Transform(warp.matrix, Warp((warp.warp.field + field).astype(np.float32), target))
    tissues = tissue_table()
    chi = np.zeros(target.shape, np.float32)
    for name, tissue in (("WM", "white_matter"), ("GM", "cortex")):
        chi += np.float32(tissues[tissue].chi) * bring(truth[name].astype(np.float32), grid, target, same)
    inside = {one.name: np.zeros(target.shape, np.float32) for one in SHARED}
    for one, side in itertools.product(SHARED, (0, 1)):
        part = _fractions(true, grid, target, same, one.network[side][0])
        chi += part * np.float32(tissues[one.name].chi + 0.005 * rng.standard_normal()) - part * chi
        inside[one.name] += part
    outside = 1 - np.clip(sum(inside.values()), 0, 1)
    nuclei: dict[Key, Volume] = {}
    for atlas, label in _drawn_nuclei():
        left = label - RIGHT[atlas] if label > RIGHT[atlas] else label
        where = inside["thalamus"] if atlas == THALAMUS else outside
        part = _fractions(template.atlases[atlas], template.grid, target, warp, label) * where
        value = CHI[atlas][left] * (1 + 0.25 * rng.standard_normal()) + 0.01 * rng.standard_normal()
        chi += part * (np.float32(value) - chi)
        nuclei[atlas, label] = part
    chi *= bring((brain > 0).astype(np.float32), grid, target, same)
    return Truth(nuclei, chi, _measured(chi, target, rng), target)


def _drawn_nuclei() -> list[Key]:
    found = [(CIT168, n + shift) for n in MIDBRAIN for shift in (0, RIGHT[CIT168])]
    return found + [(THALAMUS, n) for n in range(1, 15)]


def _measured(chi: Volume, grid: Grid, rng: np.random.Generator) -> Volume:
    """Return the map [ppm] from the field of `chi` with noise, by truncated division."""
    device = resolve_device("cpu")
    fft = RealFFT(grid.shape, device)
    response = dipole_response(grid.shape, grid.voxel_size, grid.b0_direction, device)
    field = fft.inverse(response * fft.forward(chi)) + NOISE * rng.standard_normal(chi.shape)
    inverse = thresholded_inverse(response, fft, THRESHOLD, below="clip", rescale=False)
    found = fft.inverse(inverse * fft.forward(field.astype(np.float32))) * (chi != 0)
    return np.asarray(found, dtype=np.float32)


def _scores(transform: Transform, template: Template, made: Truth) -> list[str]:
    """Return Dice and difference of mean susceptibility of every nucleus, the mean of both sides."""
    both: dict[str, list[tuple[float, float]]] = {}
    names = {(a, label.index): label.abbreviation for a in ATLASES for label in load_label_table(a).labels}
    for key, true in made.nuclei.items():
        ours = _fractions(template.atlases[key[0]], template.grid, made.grid, transform, key[1])
        apart = _mean(made.chi, ours) - _mean(made.chi, true)
        both.setdefault(names[key], []).append((_dice(ours, true), apart))
    return [
        f"{name} {np.mean([d for d, _ in pairs]):.2f} {np.mean([c for _, c in pairs]):+.0f}"
        for name, pairs in both.items()
    ]


def _mean(chi: Volume, weight: npt.NDArray[Any]) -> float:
    """Return the weighted mean susceptibility [ppb]."""
    return 1e3 * float((weight * chi).sum(dtype=float) / max(float(weight.sum(dtype=float)), 1e-9))


def _print_shared(head: Head, transform: Transform, template: Template, true: Any, made: Truth) -> None:
    """Print, for every structure that network and atlas have, how its labels differ from the true ones."""
    same = Transform(np.eye(4))
    print("  left and right, Dice and chi minus that under the true labels [ppb]:")
    for one in SHARED:
        shown: dict[str, list[str]] = {}
        for side in (0, 1):
            wanted = _fractions(_joined(true, one.network[side]), head.grid, made.grid, same, 1)
            ours = _fractions(_joined(head.structures, one.network[side]), head.grid, made.grid, same, 1)
            joined = _joined(template.atlases[one.atlas], one.nuclei[side])
            theirs = _fractions(joined, template.grid, made.grid, transform, 1)
            parts: dict[str, Volume] = {
                "network": ours,
                "atlas": theirs,
                "mean of both": (ours + theirs) * np.float32(0.5),
            }
            for name, weight in parts.items():
                apart = _mean(made.chi, weight) - _mean(made.chi, wanted)
                shown.setdefault(name, []).append(f"{_dice(weight, wanted):.2f} {apart:+.1f}")
        print(f"    {one.name}: " + "; ".join(f"{name} {', '.join(found)}" for name, found in shown.items()))


def _joined(labels: Any, numbers: Sequence[int]) -> npt.NDArray[np.int32]:
    """Return 1 (x, y, z) where a label is one of `numbers`."""
    return np.isin(labels, numbers).astype(np.int32)


def _dice(ours: Volume, true: Volume) -> float:
    a, b = ours >= 0.5, true >= 0.5
    return 2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


if __name__ == "__main__":
    raise SystemExit(main([]))
