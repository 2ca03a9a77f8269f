"""Tiny BIDS datasets, piece by piece."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from qsmengine.grid import Grid
from qsmengine.io import write_image

SHAPE = (7, 6, 5)
TIMES = (0.004, 0.009, 0.014)


class Dataset:
    """A raw dataset below `root`; every image is random, the geometry is one unless another is given."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.root = root
        self.rng = np.random.default_rng(seed)
        affine = np.diag([1.0, 1.5, 2.0, 1.0])
        affine[:3, 3] = self.rng.uniform(-50, 50, 3)
        self.grid = Grid(SHAPE, affine)
        self.put("dataset_description.json", {"Name": "tiny", "BIDSVersion": "1.10.0"})

    def put(self, path: str, content: object) -> Path:
        """A text file, JSON unless the content is text."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content if isinstance(content, str) else json.dumps(content))
        return target

    def image(
        self, path: str, *, grid: Grid | None = None, volumes: int = 0, labels: int = 0, low: float = 0.1
    ) -> Path:
        """A random image from `low` to 3.1; positive integers below `labels` where that is given."""
        grid = grid or self.grid
        shape = grid.shape + ((volumes,) if volumes else ())
        array = self.rng.integers(1, labels, shape) if labels else self.rng.uniform(low, 3.1, shape)
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_image(target, array if labels else array.astype(np.float32), grid)
        return target

    def gre(
        self,
        subject: str,
        session: str | None = None,
        *,
        entities: str = "",
        suffix: str = "MEGRE",
        times: tuple[float, ...] = TIMES,
        parts: tuple[str, ...] = ("mag", "phase"),
        datatype: str = "anat",
        sidecars: bool = True,
        grid: Grid | None = None,
    ) -> list[Path]:
        """A gradient-echo series; a part "" has no ``part`` in its name, a single echo no ``echo``."""
        folder, stem = place(subject, session)
        made = []
        for echo, time in enumerate(times, start=1):
            for part in parts:
                name = f"{stem}{entities}"
                name += f"_echo-{echo}" if len(times) > 1 else ""
                name += f"_part-{part}" if part else ""
                low = -3.1 if part in {"phase", "real", "imag"} else 0.1
                made.append(self.image(f"{folder}/{datatype}/{name}_{suffix}.nii.gz", grid=grid, low=low))
                if sidecars:
                    content = {"EchoTime": time, "MagneticFieldStrength": 3.0, "Units": "rad"}
                    self.put(f"{folder}/{datatype}/{name}_{suffix}.json", content)
        return made

    def dwi(self, subject: str, session: str | None = None, *, entities: str = "", volumes: int = 8) -> Path:
        """A diffusion series with its table."""
        folder, stem = place(subject, session)
        path = self.image(f"{folder}/dwi/{stem}{entities}_dwi.nii.gz", volumes=volumes)
        self.tables(path, volumes)
        return path

    def tables(self, image: Path, volumes: int) -> None:
        """bval and bvec beside an image: one volume at b = 0."""
        vectors = self.rng.standard_normal((3, volumes))
        vectors /= np.linalg.norm(vectors, axis=0)
        stem = str(image).removesuffix(".nii.gz")
        np.savetxt(f"{stem}.bval", [[0] + [1000] * (volumes - 1)], fmt="%d")
        np.savetxt(f"{stem}.bvec", vectors, fmt="%.8f")


def place(subject: str, session: str | None) -> tuple[str, str]:
    """Folder and beginning of the names of a session."""
    if session is None:
        return f"sub-{subject}", f"sub-{subject}"
    return f"sub-{subject}/ses-{session}", f"sub-{subject}_ses-{session}"
