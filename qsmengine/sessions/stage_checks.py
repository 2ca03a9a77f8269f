"""Checks of files that a single stage takes as they are: stated units, and values that no such image has.

A session reads raw data by the rules of its modality. A stage takes any file under any name, and phase in units
of a scanner, chi in ppb, or a T2* map as R2* would give a map that looks like a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qsmengine.data import Array
from qsmengine.data.checks import check_phase
from qsmengine.errors import InputError, UsageError
from qsmengine.io.sidecars import read_sidecar

_SPELLINGS = {
    "ppm": ("ppm",),
    "1/s": ("1/s", "/s", "s^-1", "s-1", "s**-1", "hz"),
    "s": ("s", "sec", "second", "seconds"),
    "mm^2/s": ("mm^2/s", "mm2/s", "mm**2/s"),
}
"""Unit of an input -> its spellings in sidecars, in lower case."""
FIELD_UNITS = ("ppm", "Hz")
LARGEST_PPM = 10.0
"""Median of a field or susceptibility [ppm], without its sign, that no tissue reaches; air is at 9."""
LARGEST_CHI = 1.0
"""The same for susceptibilities and local fields, of which only few voxels of a brain have 0.1."""
SLOWEST = 0.2
"""Median of R2 and R2* [1/s] that nothing in a scanner is below; pure water is above 0.3."""
NEGATIVE = 0.01
"""Share of negative values that a magnitude may have, from interpolation or denoising."""


def check_units_given(given: Mapping[str, str], fields: Sequence[str]) -> None:
    """Raise UsageError for a unit of anything but a field among the inputs, or other than ppm and Hz."""
    for name, unit in given.items():
        if name not in fields:
            named = ", ".join(sorted(fields)) or "none"
            raise UsageError(f"--unit {name}={unit}: {name} is no field among the inputs; fields: {named}")
        if unit not in FIELD_UNITS:
            raise UsageError(f"--unit {name}={unit}: need ppm or Hz")


def check_stated_unit(name: str, needed: str, path: Path) -> None:
    """Raise InputError if the sidecar of an input states another unit than the stage needs."""
    known, stated = _SPELLINGS.get(needed.partition(" ")[0]), read_sidecar(path).text("Units")
    if known and stated is not None and stated.strip().lower() not in known:
        raise InputError(
            f"{stated!r}, but {name} is needed in {needed}: convert the values and state the new unit",
            source=path,
            field="Units",
        )


def check_rates(arrays: Mapping[str, Array], path: Path) -> None:
    """Raise InputError if R2 reaches R2* in more than half of the mask, where R2' = R2* - R2 would be 0."""
    if not {"r2star", "r2", "mask"} <= set(arrays):
        return
    inside = (arrays["mask"] > 0) & (arrays["r2star"] > 0)
    share = float(np.mean(arrays["r2"][inside] >= arrays["r2star"][inside])) if inside.any() else 0.0
    if share > 0.5:
        raise InputError(
            f"R2 is not below R2* in {100 * share:.0f} % of the mask, more than tissue has: are they "
            "exchanged, the same, or in different units?",
            source=path,
        )


def check_values(name: str, needed: str, array: Array, path: Path, mask: Array | None = None) -> None:
    """Raise InputError for values that an input of this name and unit cannot have.

    Parameters
    ----------
    name, needed
        Input and its unit, as a method declares them.
    array
        Values; 0 and values that are not finite do not count.
    path
        File that the message names.
    mask
        Voxels that decide on fields, susceptibilities and rates; None: all.
    """
    known = array[np.isfinite(array) & (array != 0)]
    if not known.size:
        return
    low, high = float(known.min()), float(known.max())
    if name in {"phase", "cycled_phase"}:
        check_phase(name, known, path)
    if name == "magnitude" and np.count_nonzero(known < 0) > NEGATIVE * array.size:
        raise InputError(
            f"values span {low:g} .. {high:g}; a magnitude is not negative: is this the phase?", source=path
        )
    if mask is not None and mask.shape == array.shape:
        known = array[np.isfinite(array) & (array != 0) & (mask > 0)]
    middle = float(np.median(np.abs(known))) if known.size else SLOWEST
    limit = LARGEST_CHI if name in {"chi", "local_field"} else LARGEST_PPM
    if needed == "ppm" and middle > limit:
        raise InputError(
            f"the median of {name} without its sign is {middle:.3g} ppm, more than any tissue has: the values "
            "are probably in Hz or ppb",
            source=path,
            field="Units",
        )
    if name in {"r2star", "r2"} and middle < SLOWEST:
        raise InputError(
            f"the median of {name} is {middle:.3g} 1/s, below that of water: the values are probably times, or "
            "in 1/ms",
            source=path,
            field="Units",
        )
