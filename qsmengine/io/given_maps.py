"""Checks of maps that are taken as they are: stated units, and values that no such map has.

A session reads raw data by the rules of its modality. A map may come from any program under any name, and chi
in ppb, or a T2* map as R2*, would give a map that looks like a result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qsmengine.data import Array
from qsmengine.data.checks import check_phase
from qsmengine.errors import InputError
from qsmengine.io.sidecars import read_sidecar

_SPELLINGS = {
    "ppm": ("ppm",),
    "1/s": ("1/s", "/s", "s^-1", "s-1", "s**-1", "hz"),
    "s": ("s", "sec", "second", "seconds"),
    "mm^2/s": ("mm^2/s", "mm2/s", "mm**2/s"),
}
"""Unit of an input -> its spellings in sidecars, in lower case."""
_TIMES = re.compile(r"(?:^|_)T(?:1|2|2star)(?:map)?\.nii(?:\.gz)?$", re.IGNORECASE)
"""Names of maps of relaxation times."""
FEWEST = 100
"""Number of voxels above which a correlation counts."""
OPPOSED = -0.5
"""Correlation of R2* and R2 over the mask that no tissue reaches, as R2* = R2 + R2'."""
MISMATCHED = 0.9
"""Share of voxels with R2 at or above R2* that noise and motion between two scans do not explain."""
LARGEST_PPM = 10.0
"""Median of a field or susceptibility [ppm], without its sign, that no tissue reaches; air is at 9."""
LARGEST_CHI = 1.0
"""The same for susceptibilities and local fields, of which only few voxels of a brain have 0.1."""
SLOWEST = 0.2
"""Median of R2 and R2* [1/s] that nothing in a scanner is below; pure water is above 0.3."""
NEGATIVE = 0.01
"""Share of negative values that magnitudes and rates may have, from interpolation or denoising."""


def check_stated_unit(name: str, needed: str, path: Path) -> None:
    """Raise InputError if name or sidecar of an input state another unit than the one needed."""
    if needed.startswith("1/s") and _TIMES.search(path.name):
        raise InputError(
            f"is named as a map of times, but {name} is needed in 1/s: convert the values", source=path
        )
    known, stated = _SPELLINGS.get(needed.partition(" ")[0]), read_sidecar(path).text("Units")
    if known and stated is not None and stated.strip().lower() not in known:
        raise InputError(
            f"{stated!r}, but {name} is needed in {needed}: convert the values and state the new unit",
            source=path,
            field="Units",
        )


def check_rates(arrays: Mapping[str, Array], path: Path, most: float = 0.5) -> None:
    """Raise InputError for R2 and R2* that cannot belong together.

    That is R2 at or above R2* in more than the share `most` of the mask, where R2' = R2* - R2 would be 0, and
    R2* that falls where R2 rises, as T2* in ms does.
    """
    if not {"r2star", "r2", "mask"} <= set(arrays):
        return
    inside = (arrays["mask"] > 0) & (arrays["r2star"] > 0) & np.isfinite(arrays["r2"]) & (arrays["r2"] > 0)
    r2, r2star = arrays["r2"][inside], arrays["r2star"][inside]
    share = float(np.mean(r2 >= r2star)) if r2.size else 0.0
    if share > most:
        raise InputError(
            f"R2 is not below R2* in {100 * share:.0f} % of the mask, more than tissue has: are they "
            "exchanged, the same, or in different units?",
            source=path,
        )
    if r2.size > FEWEST and np.ptp(r2) > 0 and np.ptp(r2star) > 0:
        together = float(np.corrcoef(r2, r2star)[0, 1])
        if together < OPPOSED:
            raise InputError(
                f"R2* falls where R2 rises (correlation {together:.2f}): is one of them a map of times, such "
                "as T2* in ms?",
                source=path,
            )


def unknown_rates(r2: Array, mask: Array, path: Path) -> list[str]:
    """Return a note on voxels of the mask without R2 (0), where R2' = R2* - R2 is too large.

    Raises
    ------
    InputError
        If they are more than half of the mask.
    """
    share = 100 * float(np.mean(r2[mask > 0] <= 0))
    if share > 50:
        raise InputError(
            f"R2 is 0 in {share:.0f} % of the mask: a map of the whole brain is needed", source=path
        )
    return [f"{path}: no R2 in {share:.1f} % of the mask; R2' is R2* there, too large"] if share >= 1 else []


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
    if name in {"r2star", "r2"} and np.count_nonzero(known < 0) > NEGATIVE * known.size:
        raise InputError(f"values span {low:g} .. {high:g}; a rate is not negative", source=path)
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
