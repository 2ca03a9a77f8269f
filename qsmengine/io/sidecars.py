"""JSON sidecars of images, with BIDS inheritance and errors that list the files searched."""

from __future__ import annotations

import json
import math
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from qsmengine.errors import InputError
from qsmengine.io.inheritance import Folders, image_stem

MAX_BYTES = 16 << 20
_CONSTANTS = re.compile(r'"(?:\\.|[^"\\])*"|(NaN|-?Infinity)')


@dataclass
class Sidecar:
    """Sidecar fields that apply to an image, and their origin.

    Parameters
    ----------
    image
        The image.
    values
        Merged fields; the deepest file wins.
    files
        JSON files that were read, weakest first.
    searched
        Places searched, for messages.
    origin
        Source file of each field.
    notes
        Corrections made by the getters.
    """

    image: Path
    values: dict[str, Any]
    files: tuple[Path, ...]
    searched: tuple[str, ...]
    origin: dict[str, Path]
    notes: list[str] = field(default_factory=list)

    def number(self, name: str) -> float | None:
        """Return field `name` as a finite number, None if absent; raises InputError for anything else."""
        value = self.values.get(name)
        return None if value is None else self._to_number(name, value)

    def numbers(self, name: str) -> list[float] | None:
        """Return field `name` (a number or a list of numbers) as a list, None if absent."""
        value = self.values.get(name)
        if value is None:
            return None
        return [self._to_number(name, item) for item in (value if isinstance(value, list) else [value])]

    def text(self, name: str) -> str | None:
        """Return field `name` as text, None if absent."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise InputError(f"{value!r} is not text", source=self.origin[name], field=name)
        return value

    def require_number(self, name: str, remedy: str = "") -> float:
        """Return field `name` as a number; raises InputError with the files searched and the `remedy`."""
        value = self.number(name)
        if value is None:
            self.missing(name, remedy)
        return value

    def missing(self, name: str, remedy: str = "") -> NoReturn:
        """Raise the InputError for an absent field."""
        raise InputError(
            f"not found; searched {', '.join(self.searched)}{'; ' + remedy if remedy else ''}",
            source=self.image,
            field=name,
        )

    @property
    def echo_time(self) -> float | None:
        """EchoTime [s], None if absent."""
        return self.number("EchoTime")

    @property
    def field_strength(self) -> float | None:
        """MagneticFieldStrength [T], None if absent."""
        return self.number("MagneticFieldStrength")

    def _to_number(self, name: str, value: Any) -> float:
        number = math.nan
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            with suppress(ValueError, OverflowError):
                number = float(value)
        if not math.isfinite(number):
            raise InputError(f"{value!r} is not a number", source=self.origin[name], field=name)
        if isinstance(value, str):
            note = f"{self.origin[name]}: {name}: the text {value!r} read as a number"
            self.notes += [] if note in self.notes else [note]
        return number


def read_sidecar(image: str | Path, folders: Folders | None = None) -> Sidecar:
    """Collect the JSON fields of `image` by the BIDS inheritance principle.

    From the folder that holds dataset_description.json down to the image's own folder, every JSON file
    with the image's suffix and a subset of its entities applies; deeper folders win, then files with more
    entities. Outside a BIDS dataset only the image's own folder is searched. Pass the same `folders` to every
    call when reading the sidecars of many images, so that each folder is listed once.

    Raises
    ------
    InputError
        If an applicable JSON file cannot be read; the message gives line and column.
    """
    image = Path(image)
    stem = image_stem(image.name)
    beside = image.with_name(stem + ".json")
    folders = Folders() if folders is None else folders
    *higher, own = folders.above(image)
    found = folders.applicable([*higher, own], stem, ".json")
    if beside not in found and beside.is_file():
        found.append(beside)
    searched = [f"{folder}{os.sep}*{stem.rsplit('_', 1)[-1]}.json" for folder in higher]
    searched.append(str(beside))
    values: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    for path in found:
        content = read_json(path)
        values.update(content)
        origin.update(dict.fromkeys(content, path))
    return Sidecar(image, values, tuple(found), tuple(searched), origin)


def stated_unit(image: str | Path, given: str | None, name: str) -> str | None:
    """Return the unit of an image, from the option ``--unit NAME=UNIT`` or its sidecar; None if neither has it.

    Raises
    ------
    InputError
        If they differ.
    """
    own = read_sidecar(image).text("Units")
    if given is not None and own is not None and given != own:
        raise InputError(
            f"{own!r}, but --unit {name}={given} is given: correct the one that is wrong",
            source=image,
            field="Units",
        )
    return own if given is None else given


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object strictly: a byte-order mark is accepted, NaN and trailing commas are not.

    Raises
    ------
    InputError
        Naming file, line and column.
    """
    path = Path(path)
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=path) from error
    if raw is None:
        raise InputError(f"larger than {MAX_BYTES} bytes: not a sidecar", source=path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = _where(raw[: error.start].decode("utf-8-sig"))
        raise InputError(f"not UTF-8 at {where}", source=path) from error
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON at {_where(text[: error.pos])}: {error.msg}", source=path) from error
    except (RecursionError, ValueError) as error:
        raise InputError(f"not a sidecar: {error}", source=path) from error
    if "\\u" in text and (lone := _lone_surrogate(content)) is not None:
        raise InputError(f"{lone!r} is half a character (a lone surrogate)"[:120], source=path)
    suspicious = "NaN" in text or "Infinity" in text
    for match in _CONSTANTS.finditer(text) if suspicious else ():
        if match.group(1):
            raise InputError(f"not JSON at {_where(text[: match.start()])}: {match.group(1)}", source=path)
    if not isinstance(content, dict):
        raise InputError(f"contains a {type(content).__name__}, not an object", source=path)
    return content


def _lone_surrogate(content: Any) -> str | None:
    """Return a key or text with half of an escaped pair of surrogates, which is no character; else None."""
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            return value
        if isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            pending += value
    return None


def _where(before: str) -> str:
    return f"line {before.count(chr(10)) + 1} column {len(before) - before.rfind(chr(10))}"
