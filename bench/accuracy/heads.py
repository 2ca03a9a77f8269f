"""Virtual heads of the study, kept in a folder so that a second run does not make them again."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.accuracy.scenarios import FEATURES, Scenario
from qsmengine.data import Array, GreSeries
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.phantom import VirtualHead, virtual_head
from qsmengine.phantom.scanner import Scanner

LAYOUT = 1
"""Raised when what the heads hold or how they are made changes."""
DEEP = 6.0
"""Distance from the rim of the mask, beyond which a voxel counts as deep [mm]."""
SCANNERS = {
    "fine": Scanner(features=FEATURES, subdivision=2, flat=1.0, splines=True),
    "k-space": Scanner(features=FEATURES),
}
MAPS = ("chi", "local_field", "total_field")


@dataclass(frozen=True)
class Case:
    """One head as one acquisition saw it, with its truth.

    Parameters
    ----------
    series
        Magnitude and wrapped phase.
    mask, labels
        (x, y, z).
    truth
        `chi`, `local_field`, `total_field` (x, y, z) [ppm].
    """

    series: GreSeries
    mask: Array
    labels: Array
    truth: dict[str, Array]

    @property
    def grid(self) -> Grid:
        """Geometry."""
        return self.series.grid

    @cached_property
    def deep(self) -> Array:
        """(x, y, z): voxels of the mask more than DEEP from its rim."""
        from scipy.ndimage import distance_transform_edt

        return np.asarray(distance_transform_edt(self.mask, sampling=self.grid.voxel_size) > DEEP)


def default_folder() -> Path:
    """Return the folder of the heads: QSMENGINE_BENCH_CACHE, or qsmengine-bench in the user's cache folder."""
    named = os.environ.get("QSMENGINE_BENCH_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qsmengine-bench"


def case_path(folder: Path, scenario: Scenario, subject: int) -> Path:
    """File of a head."""
    facts = {key: value for key, value in scenario.as_dict().items() if key != "name"}
    text = json.dumps([LAYOUT, facts, FEATURES, subject], sort_keys=True)
    return folder / f"head{subject:02d}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"


def make_case(folder: Path, scenario: Scenario, subject: int) -> Path:
    """Make a head unless its file exists; return the file."""
    path = case_path(folder, scenario, subject)
    if not path.exists():
        save(path, _head(scenario, subject))
    return path


def save(path: Path, head: VirtualHead) -> None:
    """Write what the study needs of a head, completely or not."""
    if head.gre is None:
        raise UsageError("the head has no gradient echoes")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    maps: dict[str, Any] = {name: head.truth[name].array for name in MAPS}
    np.savez(
        temporary, magnitude=head.gre.magnitude, phase=head.gre.phase, echo_times=head.gre.echo_times,
        mask=head.mask, labels=head.labels, affine=head.grid.affine,
        field_strength=head.grid.required_field_strength, **maps,
    )  # fmt: skip
    temporary.replace(path)


def load(path: Path) -> Case:
    """Read a head."""
    with np.load(path) as stored:
        grid = Grid(stored["mask"].shape, stored["affine"], float(stored["field_strength"]))
        times = tuple(float(t) for t in stored["echo_times"])
        series = GreSeries(stored["magnitude"], stored["phase"], times, grid)
        return Case(series, stored["mask"], stored["labels"], {name: stored[name] for name in MAPS})


def _head(scenario: Scenario, subject: int) -> VirtualHead:
    if scenario.sampling in SCANNERS:
        return _scanner(subject, scenario.b0_direction, scenario.sampling).scan(
            voxel_size=(scenario.voxel_size,) * 3, field_strength=scenario.field_strength,
            echo_times=scenario.echo_times, snr=scenario.snr,
        )  # fmt: skip
    if scenario.sampling == "boxes":
        return virtual_head(
            subject=subject, features=FEATURES, voxel_size=(scenario.voxel_size,) * 3,
            field_strength=scenario.field_strength, echo_times=scenario.echo_times, snr=scenario.snr,
            b0_direction=scenario.b0_direction, seed=subject,
        )  # fmt: skip
    if scenario.sampling == "qsm-forward":
        from bench.accuracy.forward import forward_head

        return forward_head(scenario, subject)
    raise UsageError(f"sampling: {scenario.sampling!r} is not fine, k-space, boxes or qsm-forward")


@lru_cache(maxsize=1)
def _scanner(subject: int, b0_direction: tuple[float, float, float], sampling: str) -> Scanner:
    """The last scanner is kept: its fields serve every acquisition of the head at that angle."""
    return replace(SCANNERS[sampling], subject=subject, b0_direction=b0_direction, seed=subject)


def forward_available() -> bool:
    """Return whether the package qsm-forward is installed."""
    return find_spec("qsm_forward") is not None
