"""Virtual heads of the study, kept in a folder so that a second run does not make them again."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.accuracy.people import PEOPLE, Person
from bench.accuracy.scenarios import HeadKind, Scenario
from qsmengine.data import Array, GreSeries
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.phantom import VirtualHead, virtual_head
from qsmengine.phantom.artefacts import Artefacts
from qsmengine.phantom.masks import wrong_mask
from qsmengine.phantom.scanner import Scanner

LAYOUT = 2
"""Raised when what the heads hold or how they are made changes."""
FINE = 2.0
"""Below this voxel size the head is simulated on a grid of half a millimetre instead of one [mm]."""
MASK_STREAM = 77
"""Second number of the seed of the masks' errors."""
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
    given
        (x, y, z): the mask that chains are given, which may have errors.
    truth
        `chi`, `local_field`, `total_field` (x, y, z) [ppm].
    """

    series: GreSeries
    mask: Array
    labels: Array
    truth: dict[str, Array]
    given: Array

    @property
    def grid(self) -> Grid:
        """Geometry."""
        return self.series.grid

    @cached_property
    def scored(self) -> Array:
        """(x, y, z): voxels of the brain that chains are given."""
        return np.asarray(self.mask & self.given)

    @cached_property
    def layer(self) -> Array:
        """(x, y, z): 1 at the rim of the given mask, 2 next to it, and so on; 0 outside."""
        from scipy.ndimage import distance_transform_edt

        padded = np.pad(self.given, 1)
        return np.ceil(distance_transform_edt(padded)[1:-1, 1:-1, 1:-1] - 1e-6).astype(np.int32)


def default_folder() -> Path:
    """Return the folder of the heads: QSMENGINE_BENCH_CACHE, or qsmengine-bench in the user's cache folder."""
    named = os.environ.get("QSMENGINE_BENCH_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qsmengine-bench"


def case_path(folder: Path, scenario: Scenario, subject: int) -> Path:
    """File of a head."""
    facts = {key: value for key, value in scenario.as_dict().items() if key != "name"}
    text = json.dumps([LAYOUT, facts, asdict(PEOPLE[subject])], sort_keys=True)
    return folder / f"head{subject:02d}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"


def make_case(folder: Path, scenario: Scenario, subject: int) -> Path:
    """Make a head unless its file exists; return the file."""
    path = case_path(folder, scenario, subject)
    if not path.exists():
        head, person = make_head(scenario, PEOPLE[subject]), PEOPLE[subject]
        save(path, head, given_mask(head, scenario.kind.mask_error, person.seed))
    return path


def given_mask(head: VirtualHead, error: str | None, seed: int) -> Array:
    """Return the head's mask with an error (:mod:`qsmengine.phantom.masks`) that is drawn with the seed."""
    if error is None:
        return head.mask
    rng = np.random.default_rng([seed, MASK_STREAM])
    return wrong_mask(error, head.mask, head.labels, head.label_names, head.grid.voxel_size, rng)


def save(path: Path, head: VirtualHead, given: Array | None = None) -> None:
    """Write what the study needs of a head, completely or not; `given` is the mask for chains."""
    if head.gre is None:
        raise UsageError("the head has no gradient echoes")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    maps: dict[str, Any] = {name: head.truth[name].array for name in MAPS}
    np.savez(
        temporary, magnitude=head.gre.magnitude, phase=head.gre.phase, echo_times=head.gre.echo_times,
        mask=head.mask, given=head.mask if given is None else given, labels=head.labels,
        affine=head.grid.affine, field_strength=head.grid.required_field_strength, **maps,
    )  # fmt: skip
    temporary.replace(path)


def load(path: Path) -> Case:
    """Read a head."""
    with np.load(path) as stored:
        grid = Grid(stored["mask"].shape, stored["affine"], float(stored["field_strength"]))
        times = tuple(float(t) for t in stored["echo_times"])
        series = GreSeries(stored["magnitude"], stored["phase"], times, grid)
        truth = {name: stored[name] for name in MAPS}
        return Case(series, stored["mask"], stored["labels"], truth, stored["given"])


def make_head(scenario: Scenario, person: Person) -> VirtualHead:
    """Return the head of a person as a scenario's acquisition saw it."""
    acquisition: dict[str, Any] = {
        "voxel_size": (scenario.voxel_size,) * 3, "field_strength": scenario.field_strength,
        "echo_times": scenario.echo_times, "snr": scenario.snr,
    }  # fmt: skip
    kind = scenario.kind
    if scenario.sampling == "scanner":
        tissue = replace(kind, name="", mask_error=None, artefacts=Artefacts())
        scanner = _scanner(person, tissue, scenario.b0_direction, 2 if scenario.voxel_size < FINE else 1)
        return scanner.scan(**acquisition, artefacts=kind.artefacts)
    if scenario.sampling == "boxes":
        return virtual_head(
            subject=person.labels, features=kind.features, b0_direction=scenario.b0_direction,
            seed=person.seed, texture=kind.texture, deformation=person.deformation,
            close_skull=kind.close_skull, **acquisition,
        )  # fmt: skip
    if scenario.sampling == "qsm-forward":
        from bench.accuracy.forward import forward_head

        return forward_head(scenario, person)
    raise UsageError(f"sampling: {scenario.sampling!r} is not scanner, boxes or qsm-forward")


@lru_cache(maxsize=1)
def _scanner(
    person: Person, tissue: HeadKind, b0_direction: tuple[float, float, float], subdivision: int
) -> Scanner:
    """The last scanner is kept: its fields serve every acquisition of the head at that angle."""
    return Scanner(
        person.labels, tissue.features, b0_direction, person.seed, tissue.texture, subdivision,
        flat=tissue.flat, splines=True, deformation=person.deformation, close_skull=tissue.close_skull,
    )  # fmt: skip


def forward_available() -> bool:
    """Return whether the package qsm-forward is installed."""
    return find_spec("qsm_forward") is not None
