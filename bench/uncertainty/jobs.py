"""Presets and the heads on which their intervals are fitted or judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.accuracy.people import require
from bench.accuracy.scenarios import CONDUCTING, KINDS, Scenario, kinds, variations
from qsmengine.stages.uncertainty.calibration import calibration_of

PRESETS = {
    "accurate": ("tfi", (1, 2, 4)),
    "consensus": ("weak_harmonic", (1, 2, 4)),
}
"""Preset -> its inversion, and the numbers of echoes it is calibrated for."""
ONE_ECHO_KINDS = ("veins", "close skull")
"""Kinds of head with one echo too."""
FEW = ("plain", "veins", "close skull", "flow", "everything")
"""Kinds of head for preset consensus with several echoes; with one, all whose tissue does not conduct."""


@dataclass(frozen=True)
class Job:
    """A preset on a head, for one calibration."""

    calibration: str
    preset: str
    scenario: Scenario
    subject: int


def jobs_of(role: str, heads: Sequence[int], voxel_size: float) -> list[Job]:
    """Every preset on its scenarios. Kinds of head take the heads in turn; acquisitions are of the first head.

    Raises
    ------
    UsageError
        For heads without the role "development" or "held-out".
    """
    require(role, heads, "intervals")
    return [
        Job(calibration_of(inversion, one_echo=scenario.echoes == 1), preset, scenario, head)
        for preset, (inversion, echoes) in PRESETS.items()
        for scenario, head in _scans(heads, voxel_size)
        if scenario.echoes in echoes and (preset != "consensus" or _is_quick(scenario))
    ]


def _is_quick(scenario: Scenario) -> bool:
    """Whether preset consensus runs too."""
    if scenario.echoes == 1:
        return scenario.kind.name != CONDUCTING.name
    return scenario.name in FEW


def _scans(heads: Sequence[int], voxel_size: float) -> list[tuple[Scenario, int]]:
    """Every kind of head, every acquisition, and some kinds with one echo, each with its head."""
    acquisitions = variations(voxel_size)[1:]
    one = next(scenario for scenario in acquisitions if scenario.echoes == 1)
    others = [kind for kind in KINDS if kind.name in ONE_ECHO_KINDS]
    single = [replace(one, name=f"{one.name}, {kind.name}", kind=kind) for kind in others]
    count = len(heads)
    return [
        *((scenario, heads[n % count]) for n, scenario in enumerate(kinds(voxel_size))),
        *((scenario, heads[0]) for scenario in acquisitions),
        *((scenario, heads[n % count]) for n, scenario in enumerate(single, start=1)),
    ]
