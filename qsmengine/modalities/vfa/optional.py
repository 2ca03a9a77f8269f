"""Images that a series with several flip angles does not need: phases, and balanced steady states.

Those that cannot be used are left out of a session with a note; its other maps do not depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from qsmengine.errors import InputError
from qsmengine.io.bssfp import check_field, increment_of, number_of, open_balanced
from qsmengine.io.gre_files import open_gre
from qsmengine.io.vfa import REPETITION, VfaFile
from qsmengine.modalities.modality import Opened, Opening, Parts
from qsmengine.modalities.transmit import images_for
from qsmengine.modalities.vfa.phases import acquisitions
from qsmengine.modalities.vfa.roles import BALANCED, CYCLED, CYCLED_PHASE, FIELD, PHASE, SINGLE
from qsmengine.stages.relaxometry.ellipse import check_equal, check_even

FIELD_SUFFIX: Mapping[str, tuple[str, ...]] = {"fieldmap": ()}
"""Suffix of maps of the off-resonance in ``fmap/``."""


def with_optional(opened: Opened, file: VfaFile, parts: Parts, opening: Opening) -> Opened:
    """Return the description of a session without the images that it cannot use, and with a field map."""
    notes, unused = list(opened.notes), list[str]()
    if PHASE in parts:
        try:
            _check_phases(file, parts, opening)
        except InputError as error:
            notes.append(f"{error}; phases are not used")
            unused.append(PHASE)
    inputs = dict(opened.inputs)
    balanced = [role for role in (SINGLE, BALANCED, CYCLED) if role in parts]
    if balanced:
        try:
            follows = PHASE in parts and PHASE not in unused
            inputs |= _checked_balanced(file, parts, balanced[0], opening, follows=follows)
        except InputError as error:
            notes.append(f"{error}; balanced images are not used")
            unused += [*balanced, CYCLED_PHASE]
    return replace(opened, inputs=inputs, notes=tuple(notes), unused=tuple(unused))


def _check_phases(file: VfaFile, parts: Parts, opening: Opening) -> None:
    """Raise InputError for phases that cannot be combined or read."""
    for one in acquisitions(file, parts[PHASE]):
        open_gre(
            one.magnitude, one.phase, echo_times=one.echo_times, phase_units=opening.config.input.phase_units,
            folders=opening.folders, check_size=True,
        )  # fmt: skip


def _checked_balanced(
    file: VfaFile, parts: Parts, role: str, opening: Opening, *, follows: bool
) -> dict[str, tuple[Path, ...]]:
    """Return the field map that balanced images need by role, or nothing; InputError if they cannot be used."""
    grid = file.with_strength(file.grid)
    images = [open_balanced(path, grid, opening.folders) for path in parts[role]]
    if role == CYCLED:
        check_even([increment_of(one) for one in images])
        for fields, what in ((("FlipAngle",), "flip angles"), (REPETITION, "repetition times")):
            check_equal([number_of(one, fields) for one in images], what)
        return {}
    if grid.field_strength is None:
        raise InputError("R2 needs the field strength", source=images[0].path, field="MagneticFieldStrength")
    if follows:
        return {}
    image = file.files[0].path
    maps = images_for(image, FIELD_SUFFIX, opening.folders)
    if len(maps) != 1:
        which = ", ".join(str(paths[0]) for paths in maps) or "none"
        raise InputError(
            f"R2 needs the off-resonance: phases of the flip angles, or one fieldmap in fmap/, found {which}",
            source=images[0].path,
        )
    check_field(maps[0][0], grid, opening.folders)
    return {FIELD: maps[0]}
