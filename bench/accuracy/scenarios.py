"""Scenarios of the study: acquisitions of virtual heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

SUBJECTS = (1, 2, 3)
FEATURES = ("veins", "calcifications", "lesions")
TILT = 25.0
"""Of oblique scans [degrees]."""
ECHO_TIMES = {
    (3.0, 4): (0.004, 0.012, 0.020, 0.028),
    (3.0, 2): (0.0074, 0.0221),
    (3.0, 1): (0.020,),
    (7.0, 4): (0.004, 0.009, 0.014, 0.019),
    (7.0, 2): (0.006, 0.014),
    (7.0, 1): (0.010,),
}
"""Field strength [T] and number of echoes -> echo times [s]."""


@dataclass(frozen=True)
class Scenario:
    """One acquisition.

    Parameters
    ----------
    name
        For tables.
    field_strength
        [T].
    echoes
        Their number; the times stand in ECHO_TIMES.
    snr
        In white matter at the first echo; None: no noise.
    tilt
        Of B0 against the third array axis [degrees].
    voxel_size
        [mm], isotropic.
    sampling
        "fine": the signal of a 0.5 mm head with smooth boundaries, sharply truncated in k-space; "k-space":
        that of the 1 mm head, with a filter over the outer half; "boxes": tissue averaged over voxels first;
        "qsm-forward": field and signal made by that package from averaged tissue.
    """

    name: str
    field_strength: float = 3.0
    echoes: int = 4
    snr: float | None = 100.0
    tilt: float = 0.0
    voxel_size: float = 2.0
    sampling: str = "k-space"

    @property
    def echo_times(self) -> tuple[float, ...]:
        """[s]."""
        return ECHO_TIMES[self.field_strength, self.echoes]

    @property
    def b0_direction(self) -> tuple[float, float, float]:
        """Unit vector in array axes."""
        angle = math.radians(self.tilt)
        return 0.6 * math.sin(angle), 0.8 * math.sin(angle), math.cos(angle)

    def as_dict(self) -> dict[str, Any]:
        """For keys and result files."""
        return asdict(self) | {"echo_times": self.echo_times}


BASE = Scenario("3 T, 4 echoes, SNR 100")
VARIATIONS = (
    Scenario("3 T, 4 echoes, no noise", snr=None),
    Scenario("3 T, 4 echoes, SNR 40", snr=40.0),
    Scenario("3 T, 4 echoes, SNR 100, oblique", tilt=TILT),
    Scenario("3 T, 2 echoes, SNR 60", echoes=2, snr=60.0),
    Scenario("3 T, 1 echo, SNR 80", echoes=1, snr=80.0),
    Scenario("7 T, 4 echoes, SNR 100", field_strength=7.0),
    Scenario("7 T, 4 echoes, SNR 100, oblique", field_strength=7.0, tilt=TILT),
)
"""Scenarios that differ from BASE in one or two respects; whole presets run on each."""


def variations(voxel_size: float) -> tuple[Scenario, ...]:
    """BASE and VARIATIONS at `voxel_size` [mm]."""
    return tuple(
        replace(s, voxel_size=voxel_size, sampling=sampling_for(voxel_size)) for s in (BASE, *VARIATIONS)
    )


def factorial(voxel_size: float) -> tuple[Scenario, ...]:
    """Every combination of 3 T / 7 T, 1 / 2 / 4 echoes, axial / oblique and SNR 40 / 100 / none."""
    found = []
    for field_strength in (3.0, 7.0):
        for echoes in (4, 2, 1):
            for tilt in (0.0, TILT):
                for snr in (40.0, 100.0, None):
                    noise = "no noise" if snr is None else f"SNR {snr:g}"
                    count = "1 echo" if echoes == 1 else f"{echoes} echoes"
                    name = f"{field_strength:g} T, {count}, {noise}{', oblique' if tilt else ''}"
                    found.append(
                        Scenario(name, field_strength, echoes, snr, tilt, voxel_size, sampling_for(voxel_size))
                    )
    return tuple(found)


def sampling_for(voxel_size: float) -> str:
    """k-space sampling needs a label grid (1 mm) that is finer than the voxels."""
    return "k-space" if voxel_size >= 1.5 else "boxes"


@dataclass(frozen=True)
class Goal:
    """A line the engine has set itself: chi nrmse in the whole mask [%], median over heads."""

    title: str
    scenario: Scenario
    start: str
    limit: float
    stretch: float | None = None


def goals(voxel_size: float) -> tuple[Goal, ...]:
    """Goal lines; each names the acquisition and what chi is computed from."""

    def at(scenario: Scenario) -> Scenario:
        return replace(scenario, voxel_size=voxel_size, sampling=sampling_for(voxel_size))

    clean, _, _, double, single, seven, _ = VARIATIONS
    return (
        Goal("true local field, no noise", at(clean), "local", 6.0),
        Goal("true total field, no noise", at(clean), "total", 18.0, 10.0),
        Goal("raw phase, 4 echoes, SNR 100", at(BASE), "raw", 25.0, 15.0),
        Goal("raw phase, 2 echoes, SNR 60", at(double), "raw", 35.0),
        Goal("raw phase, 1 echo, SNR 80", at(single), "raw", 40.0),
        Goal("raw phase, 7 T, 4 echoes, SNR 100", at(seven), "raw", 25.0),
    )


def total_scenarios(lists: Sequence[Sequence[Scenario]]) -> tuple[Scenario, ...]:
    """All of them once, those of one head and angle side by side."""
    unique = {s: None for group in lists for s in group}
    return tuple(sorted(unique, key=lambda s: (s.sampling, s.voxel_size, s.tilt, s.field_strength, s.name)))
