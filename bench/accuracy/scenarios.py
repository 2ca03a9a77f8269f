"""Scenarios of the study: kinds of head, and their acquisitions."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from qsmengine.phantom.artefacts import NO_ARTEFACTS, Artefacts

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
class HeadKind:
    """Properties of a scenario's heads, apart from the acquisition.

    Parameters
    ----------
    name
        For tables.
    features
        Drawn into the brain.
    texture
        Relative standard deviation of tissue properties inside a label.
    close_skull
        Bone and air begin one voxel of the label map outside the brain.
    artefacts
        Of the acquisition.
    mask_error
        Of the mask that chains are given; None: the true mask.
    flat
        Fraction of k-space, per axis, without filter; 1: sharp truncation.
    """

    name: str
    features: tuple[str, ...] = ()
    texture: float = 0.1
    close_skull: bool = False
    artefacts: Artefacts = NO_ARTEFACTS
    mask_error: str | None = None
    flat: float = 1.0


PLAIN = HeadKind("plain")
KINDS = (
    PLAIN,
    HeadKind("veins", ("veins",)),
    HeadKind("calcifications and lesions", ("calcifications", "lesions")),
    HeadKind("close skull", close_skull=True),
    HeadKind("strong texture", texture=0.3),
    HeadKind("filtered k-space", flat=0.5),
    HeadKind("mask too large", mask_error="large"),
    HeadKind("mask too small", mask_error="small"),
    HeadKind("mask with holes", mask_error="holes"),
    HeadKind("mask with dura", mask_error="dura"),
    HeadKind("flow", ("veins",), artefacts=Artefacts(flow=0.5)),
    HeadKind("ghosts", artefacts=Artefacts(ghost=0.05)),
    HeadKind("uneven coil", artefacts=Artefacts(unevenness=4.0)),
    HeadKind(
        "everything",
        ("veins", "calcifications", "lesions"),
        texture=0.2,
        close_skull=True,
        artefacts=Artefacts(0.3, 0.03, 2.0),
        mask_error="holes",
    ),
)
"""Kinds of head; presets and leading chains run on each."""
CONDUCTING = HeadKind("conducting tissue", artefacts=Artefacts(conduction=1.0))
"""The phase offset that a real head adds to that of the coil; it matters with one echo."""


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
        "scanner": the signal of a head at least twice as fine as the voxels, cut out of k-space; "boxes":
        tissue of the 1 mm head averaged over voxels first; "qsm-forward": field and signal made by that
        package from averaged tissue.
    kind
        Of head.
    times
        Echo times [s]; None: those of ECHO_TIMES.
    """

    name: str
    field_strength: float = 3.0
    echoes: int = 4
    snr: float | None = 100.0
    tilt: float = 0.0
    voxel_size: float = 2.0
    sampling: str = "scanner"
    kind: HeadKind = PLAIN
    times: tuple[float, ...] | None = None

    @property
    def echo_times(self) -> tuple[float, ...]:
        """[s]."""
        return self.times or ECHO_TIMES[self.field_strength, self.echoes]

    @property
    def b0_direction(self) -> tuple[float, float, float]:
        """Unit vector in array axes."""
        angle = math.radians(self.tilt)
        return 0.6 * math.sin(angle), 0.8 * math.sin(angle), math.cos(angle)

    def as_dict(self) -> dict[str, Any]:
        """For keys and result files."""
        facts = asdict(self) | {"echo_times": self.echo_times}
        del facts["times"]
        return facts


BASE = Scenario("3 T, 4 echoes, SNR 100")
VARIATIONS = (
    Scenario("3 T, 4 echoes, no noise", snr=None),
    Scenario("3 T, 4 echoes, SNR 40", snr=40.0),
    Scenario("3 T, 4 echoes, SNR 100, oblique", tilt=TILT),
    Scenario("3 T, 2 echoes, SNR 60", echoes=2, snr=60.0),
    Scenario("3 T, 1 echo, SNR 80", echoes=1, snr=80.0),
    Scenario("7 T, 4 echoes, SNR 100", field_strength=7.0),
    Scenario("7 T, 4 echoes, SNR 100, oblique", field_strength=7.0, tilt=TILT),
    Scenario("3 T, 1 echo, SNR 80, conducting tissue", echoes=1, snr=80.0, kind=CONDUCTING),
    Scenario("3 T, 1 echo of 5 ms, conducting tissue", echoes=1, snr=80.0, kind=CONDUCTING, times=(0.005,)),
)
"""Scenarios that differ from BASE in one or two respects; whole presets run on each."""


def variations(voxel_size: float) -> tuple[Scenario, ...]:
    """BASE and VARIATIONS at `voxel_size` [mm]."""
    return tuple(replace(s, voxel_size=voxel_size) for s in (BASE, *VARIATIONS))


def kinds(voxel_size: float) -> tuple[Scenario, ...]:
    """Every kind of head, scanned as in BASE at `voxel_size` [mm], and heads of boxes that no scanner saw."""
    scanned = tuple(replace(BASE, name=k.name, voxel_size=voxel_size, kind=k) for k in KINDS)
    return (*scanned, replace(BASE, name="boxes", voxel_size=voxel_size, sampling="boxes"))


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
                    found.append(Scenario(name, field_strength, echoes, snr, tilt, voxel_size))
    return tuple(found)


@dataclass(frozen=True)
class Goal:
    """A line the engine has set itself: chi nrmse in the whole mask [%] and least xsim, medians over heads."""

    title: str
    scenario: Scenario
    start: str
    limit: float
    stretch: float | None = None
    xsim: float | None = None


def goals(voxel_size: float) -> tuple[Goal, ...]:
    """Goal lines; each names the acquisition and what chi is computed from."""

    def at(scenario: Scenario) -> Scenario:
        return replace(scenario, voxel_size=voxel_size)

    clean, _, oblique, double, single, seven, _, conducting, _ = VARIATIONS
    tilted = replace(double, name=f"{double.name}, oblique", tilt=oblique.tilt)
    return (
        Goal("true local field, no noise", at(clean), "local", 9.0, 6.0),
        Goal("true total field, no noise", at(clean), "total", 25.0, 15.0, xsim=0.85),
        Goal("raw phase, 4 echoes, SNR 100", at(BASE), "raw", 25.0, 15.0, xsim=0.8),
        Goal("raw phase, 2 echoes, SNR 60, oblique", at(tilted), "raw", 28.0),
        Goal("raw phase, 1 echo, SNR 80", at(single), "raw", 45.0),
        Goal("raw phase, 1 echo, SNR 80, conducting tissue", at(conducting), "raw", 45.0),
        Goal("raw phase, 7 T, 4 echoes, SNR 100", at(seven), "raw", 30.0),
    )
