"""Small sessions made from closed formulas, in memory and as files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.data import GreSeries
from qsmengine.grid import Grid
from qsmengine.io.nifti import write_image

GAMMA = 42.576e6
ECHO_TIMES = (0.004, 0.009, 0.014)
R2STAR = 25.0


@dataclass(frozen=True)
class Ball:
    """A ball of tissue with two spherical inclusions; field [ppm] from the sphere's closed formula."""

    series: GreSeries
    mask: np.ndarray
    chi: np.ndarray
    total_field: np.ndarray


def make_ball(
    seed: int = 0,
    *,
    shape: tuple[int, int, int] = (36, 34, 32),
    echo_times: tuple[float, ...] = ECHO_TIMES,
    field_strength: float = 3.0,
) -> Ball:
    """Ball of 26 mm in 2 mm voxels; inclusions of 5 mm, +-0.4 ppm; a linear background; noise outside."""
    rng = np.random.default_rng(seed)
    grid = Grid.from_voxel_size(shape, (2.0, 2.0, 2.0), field_strength=field_strength)
    axes = [(np.arange(n) - (n - 1) / 2) * 2.0 for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    mask = x**2 + y**2 + z**2 < 26.0**2
    chi = np.zeros(shape)
    field = 0.02 + 0.004 * x - 0.003 * z
    for centre, value in (((-9.0, 3.0, 1.0), 0.4), ((9.0, -4.0, -2.0), -0.4)):
        dx, dy, dz = x - centre[0], y - centre[1], z - centre[2]
        r = np.maximum(np.sqrt(dx**2 + dy**2 + dz**2), 1e-3)
        chi[r < 5.0] = value
        outside = r >= 5.0
        field[outside] += (value / 3 * (5.0 / r) ** 3 * (3 * (dz / r) ** 2 - 1))[outside]
    times = np.array(echo_times)
    phase = 0.3 + 2 * np.pi * GAMMA * field_strength * 1e-6 * field[..., None] * times
    signal = 1000 * mask[..., None] * np.exp(-R2STAR * times) * np.exp(1j * phase)
    signal = signal + 2.0 * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    series = GreSeries(np.abs(signal).astype("f4"), np.angle(signal).astype("f4"), tuple(echo_times), grid)
    return Ball(series, mask, chi, field)


def write_ball(folder: Path, ball: Ball, stem: str = "sub-01_{echo}part-{part}_MEGRE") -> dict[str, list[Path]]:
    """One file per echo and part with sidecars; the paths by part."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[Path]] = {"mag": [], "phase": []}
    for part, array in (("mag", ball.series.magnitude), ("phase", ball.series.phase)):
        for index, time in enumerate(ball.series.echo_times):
            path = folder / f"{stem.format(echo=f'echo-{index + 1}_', part=part)}.nii.gz"
            write_image(path, array[..., index], ball.series.grid)
            sidecar: dict[str, Any] = {
                "EchoTime": time,
                "MagneticFieldStrength": ball.series.grid.field_strength,
            }
            sidecar |= {"Units": "rad"} if part == "phase" else {}
            path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))
            files[part].append(path)
    return files


def qsm_arguments(files: dict[str, list[Path]], out: Path, *more: str) -> list[str]:
    """Command line of ``qsmengine qsm`` with the quick inversion."""
    names = ["--magnitude", *map(str, files["mag"]), "--phase", *map(str, files["phase"])]
    return ["qsm", *names, "--out", str(out), "--device", "cpu", "--set", "inversion=tkd", *more]


def write_dwi(
    folder: Path,
    seed: int = 0,
    shape: tuple[int, int, int] = (9, 8, 7),
    shells: tuple[float, ...] = (1000.0,),
) -> tuple[Path, np.ndarray]:
    """A diffusion image of prolate tensors, twelve directions a shell; returns its path and the FA."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    vectors = rng.standard_normal((1 + 12 * len(shells), 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0
    values = np.r_[0.0, np.repeat(shells, 12)]
    long, short = rng.uniform(1.2e-3, 1.8e-3, shape), rng.uniform(2e-4, 6e-4, shape)
    fibre = rng.standard_normal((*shape, 3))
    fibre /= np.linalg.norm(fibre, axis=-1, keepdims=True)
    along = (fibre @ vectors.T) ** 2
    exponent = short[..., None] * (vectors**2).sum(axis=1) + (long - short)[..., None] * along
    path = folder / "sub-01_dwi.nii.gz"
    write_image(path, 500 * np.exp(-values * exponent), Grid.from_voxel_size(shape, (2.0, 2.0, 2.0)))
    np.savetxt(folder / "sub-01_dwi.bval", values[None], fmt="%g")
    np.savetxt(folder / "sub-01_dwi.bvec", vectors.T, fmt="%.9f")
    return path, (long - short) / np.sqrt(long**2 + 2 * short**2)
