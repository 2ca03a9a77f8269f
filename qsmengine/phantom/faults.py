"""Faults of a dataset as they are common in an imaging core, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qsmengine.io import read_image, write_image

if TYPE_CHECKING:
    from qsmengine.phantom.drawing import Drawing

SHARE = 5
"""Sessions per fault; every kind of fault occurs at least once."""
MISSING_MODALITY = "missing modality"


class FaultKind(NamedTuple):
    """Kind of fault: its name, and a function that damages a session's folder and returns the faulty files."""

    name: str
    damage: Callable[[Path, np.random.Generator], list[Path]]


@dataclass(frozen=True)
class Fault:
    """Fault of a session: its `kind`, the `step` that cannot run, the faulty `files`."""

    kind: str
    step: str
    files: tuple[str, ...]


def fault_kinds(drawings: Sequence[Drawing]) -> tuple[str, ...]:
    """Return the faults that a cohort of these modalities can have."""
    kinds = [fault.name for drawing in drawings for fault in drawing.faults]
    return (*kinds, *([MISSING_MODALITY] if len(drawings) > 1 else []))


def damage(
    root: Path, folders: Mapping[str, Path], drawings: Sequence[Drawing], rng: np.random.Generator
) -> dict[str, Fault]:
    """Damage some of the sessions of a written dataset, each in one way.

    Parameters
    ----------
    root
        Dataset; file names in the result are relative to it.
    folders
        Session -> its folder.
    drawings
        Modalities of the sessions; "missing modality" removes the first.
    rng
        Chooses sessions, faults and files.

    Returns
    -------
    dict
        Session -> fault, in the order of `folders`.
    """
    kinds = fault_kinds(drawings)
    count = max(len(kinds), len(folders) // SHARE)
    names = list(folders)
    chosen = sorted(rng.choice(len(names), count, replace=False).tolist())
    order = rng.permutation([kinds[index % len(kinds)] for index in range(count)])
    return {
        names[index]: _break(root, folders[names[index]], str(kind), drawings, rng)
        for index, kind in zip(chosen, order, strict=True)
    }


def _break(root: Path, folder: Path, kind: str, drawings: Sequence[Drawing], rng: np.random.Generator) -> Fault:
    """Damage a session."""
    if kind == MISSING_MODALITY:
        drawing = drawings[0]
        files = remove(folder.glob(drawing.images))
        for parent in {path.parent for path in files}:
            if not any(parent.iterdir()):
                parent.rmdir()
    else:
        drawing, fault = next((d, f) for d in drawings for f in d.faults if f.name == kind)
        files = fault.damage(folder, rng)
    return Fault(kind, drawing.step, tuple(path.relative_to(root).as_posix() for path in files))


def remove(paths: Iterable[Path]) -> list[Path]:
    """Delete files; return them in order."""
    files = sorted(paths)
    for path in files:
        path.unlink()
    return files


def truncate(path: Path, rng: np.random.Generator) -> None:
    """Cut a file off after 20 to 80 percent of its length."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * rng.uniform(0.2, 0.8))])


def crop(path: Path) -> None:
    """Remove the last two slices of an image."""
    array, grid, _ = read_image(path)
    nx, ny, nz = grid.shape
    write_image(path, array[:, :, : nz - 2], grid.replace(shape=(nx, ny, nz - 2)))
