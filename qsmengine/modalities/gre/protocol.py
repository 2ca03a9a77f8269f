"""Acquisition of gradient echoes against the recommendations for susceptibility mapping.

Monopolar readout, three dimensions, several echoes and saved phase are recommendations of the QSM Consensus
Organization Committee (2024, 10.1002/mrm.30006). Limits of echo spacing, echo times, voxels and coverage are
our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.io.gre_files import open_gre
from qsmengine.io.sidecars import read_sidecar
from qsmengine.modalities.protocol import Check, Facts, Recommendation

CONSENSUS = "10.1002/mrm.30006"
ECHOES = 3
"""Least number of echoes: the offset of the phase and the field are then overdetermined."""
UNIFORM = 0.02
"""Largest deviation of an echo spacing from their mean, as a share of it."""
LAST = (0.4, 1.6)
"""Range of the last echo time over T2* of deep grey matter."""
T2STAR = 0.025
"""T2* of deep grey matter [s] at 3 T; it falls in inverse proportion to the field."""
LARGEST_EDGE, LONGEST_RATIO = 1.5, 2.0
"""Largest edge of a voxel [mm], and largest ratio of its edges."""
COVERAGE = 100.0
"""Least extent of the image along each axis [mm]."""
READOUT = "ReadoutPolarity"
"""Field "monopolar" or "bipolar" of a sidecar; BIDS defines none."""


def facts_of(parts: Mapping[str, Sequence[Path]]) -> Facts:
    """Return the facts of a series from headers and sidecars.

    Raises
    ------
    InputError
        For headers or sidecars that cannot be read or contradict each other.
    """
    roles = {role: list(parts[role]) for role in ("magnitude", "phase", "real", "imag") if parts.get(role)}
    phase = "phase" in roles or {"real", "imag"} <= set(roles)
    first = next(iter(roles.values()))
    values = read_sidecar(first[0]).values
    found: dict[str, Any] = {name: values[name] for name in ("MRAcquisitionType", READOUT) if name in values}
    if phase:
        files = open_gre(
            roles.get("magnitude"), roles.get("phase"), real=roles.get("real"), imag=roles.get("imag")
        )
        found |= {
            "EchoTimes": list(files.echo_times),
            "MagneticFieldStrength": files.grid.field_strength,
            "VoxelSize": [float(edge) for edge in files.grid.voxel_size],
            "Matrix": list(files.grid.shape),
        }
    return {**found, "Phase": phase}


def recorded_facts(record: Mapping[str, Any]) -> Facts:
    """Return the facts of a reconstruction's provenance; its phase was there."""
    facts = dict(record.get("Acquisition") or {})
    for step in record.get("Steps") or ():
        if (step.get("Parameters") or {}).get("bipolar"):
            facts[READOUT] = "bipolar"
    return {**facts, "Phase": True}


def check(facts: Facts) -> list[Check]:
    """Return the results of all checks."""
    return [
        _phase(facts),
        _dimensions(facts),
        _readout(facts),
        _echoes(facts),
        _spacing(facts),
        _last(facts),
        _resolution(facts),
        _coverage(facts),
    ]


def _phase(facts: Facts) -> Check:
    saved = bool(facts.get("Phase"))
    return Check(
        "phase", "green" if saved else "red", "saved" if saved else "not saved", "saved",
        "without phase there is no field and no susceptibility", CONSENSUS,
    )  # fmt: skip


def _dimensions(facts: Facts) -> Check:
    found = facts.get("MRAcquisitionType")
    return Check(
        "dimensions", None if found not in {"2D", "3D"} else "green" if found == "3D" else "red",
        str(found) if found in {"2D", "3D"} else "not recorded", "3D",
        "slices of a 2D acquisition have different phase offsets", CONSENSUS,
    )  # fmt: skip


def _readout(facts: Facts) -> Check:
    found = facts.get(READOUT)
    known = found in {"monopolar", "bipolar"}
    return Check(
        "readout", None if not known else "green" if found == "monopolar" else "red",
        str(found) if known else "not recorded", "monopolar",
        "even and odd echoes have different phase: set phase_offset.bipolar=true", CONSENSUS,
    )  # fmt: skip


def _echoes(facts: Facts) -> Check:
    count = len(_times(facts))
    return Check(
        "number of echoes", None if not count else "green" if count >= ECHOES else "red",
        str(count or "not recorded"), f"at least {ECHOES}",
        "with fewer, wraps and the phase offset of the coils are harder to separate from the field", CONSENSUS,
    )  # fmt: skip


def _spacing(facts: Facts) -> Check:
    steps = np.diff(_times(facts)) * 1e3
    name, wanted = "echo spacing", f"equal to {100 * UNIFORM:g} %"
    reason = "relaxation and offset methods need equal steps"
    if len(steps) == 0:
        return Check(name, None, "not recorded", wanted, reason)
    found = f"{steps.min():.3g} ms" if np.ptp(steps) < 5e-3 else f"{steps.min():.3g} to {steps.max():.3g} ms"
    equal = bool(np.abs(steps - steps.mean()).max() <= UNIFORM * steps.mean())
    return Check(name, "green" if equal else "red", found, wanted, reason)


def _last(facts: Facts) -> Check:
    times, tesla = _times(facts), facts.get("MagneticFieldStrength")
    name = "last echo"
    reason = "an early last echo has little phase, a late one little signal in iron-rich nuclei"
    if not len(times) or not tesla:
        return Check(name, None, "not recorded", "near T2* of deep grey matter", reason)
    low, high = (share * T2STAR * 3.0 / float(tesla) for share in LAST)
    inside = low <= times[-1] <= high
    wanted = f"{1e3 * low:.3g} to {1e3 * high:.3g} ms at {float(tesla):g} T"
    return Check(name, "green" if inside else "red", f"{1e3 * times[-1]:.3g} ms", wanted, reason)


def _resolution(facts: Facts) -> Check:
    edges = np.array(facts.get("VoxelSize") or (), dtype=np.float64)
    wanted = f"edges of at most {LARGEST_EDGE:g} mm, ratio of at most {LONGEST_RATIO:g}"
    reason = "large or long voxels average out the fields of small structures: susceptibility is underestimated"
    if len(edges) != 3:
        return Check("resolution", None, "not recorded", wanted, reason)
    fine = edges.max() <= LARGEST_EDGE * 1.001 and edges.max() <= LONGEST_RATIO * 1.001 * edges.min()
    found = " x ".join(f"{edge:.3g}" for edge in edges) + " mm"
    return Check("resolution", "green" if fine else "red", found, wanted, reason)


def _coverage(facts: Facts) -> Check:
    extent = np.array(facts.get("VoxelSize") or (), dtype=np.float64)
    matrix = np.array(facts.get("Matrix") or (), dtype=np.float64)
    wanted = f"at least {COVERAGE:g} mm along each axis"
    reason = "fields of sources beyond a thin slab cannot be separated from local ones"
    if len(extent) != 3 or len(matrix) != 3:
        return Check("coverage", None, "not recorded", wanted, reason)
    extent = extent * matrix
    found = " x ".join(f"{edge:.0f}" for edge in extent) + " mm"
    return Check("coverage", "green" if extent.min() >= COVERAGE else "red", found, wanted, reason)


def _times(facts: Facts) -> Any:
    return np.array(facts.get("EchoTimes") or (), dtype=np.float64)


RECOMMENDATION = Recommendation("QSM consensus", facts_of, recorded_facts, check)
"""Recommendations for susceptibility mapping."""
