"""Damage to valid files: fields out of range, wrong types, nesting, repetition, truncation."""
# ruff: noqa: E501

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import nibabel as nib
import numpy as np

from tests.fuzz.choices import Choices

NUMBERS = (
    0, -1, 1, 2, 3, 7, 8, 100, 127, 255, 256, 348, 352.5, 1024, 2304, 32767, -32768, 2**31 - 1, -(2**31), 2**63 - 1,
    0.5, 1e-3, 1e-30, 1e-38, 1e-45, 1e30, 3e38, 1e300, -1e30, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, "", " ", "nan", "1e400", "0.02", "n/a", "\ud800", "\0", "\u0661", "=1+1", "x" * 5000, [], {}, [[]],
    [1, "a", None], {"a": {"b": [1]}}, 10**400, 1e308, -0.0, 5e-324, [0.004] * 300, ["M", 3, None], *NUMBERS,
)  # fmt: skip
WORDS = (
    "nan", "inf", "-inf", "1e300", "1e400", "-1", "0", "1e-400", "99999999999999999999", "9" * 5000, "0x" + "f" * 5000,
    "\u0661", "\u00b2", "n/a", '"', "'", "\t", "\n", "\r", "\0", "\ufeff", "\u2028", "\x85", "=1+1", ",", ";", "#", " ",
)  # fmt: skip
REPEATS = (2, 3, 100, 20000)
LARGEST = 400_000
"""Bytes of a file made by repetition."""
HEADERS = {1: nib.nifti1.header_dtype, 2: nib.nifti2.header_dtype}


def damaged_text(choices: Choices, text: str, words: Sequence[str] = ()) -> bytes:
    """`text` with up to six edits: words replaced, inserted, repeated and removed, bytes overwritten."""
    data = text.encode("utf-8", "surrogatepass")
    vocabulary = [word.encode("utf-8", "surrogatepass") for word in (*words, *WORDS)]
    for _ in range(choices.pick((0, 0, 1, 1, 2, 3, 6))):
        start = choices.below(len(data) + 1)
        stop = min(len(data), start + choices.pick((0, 1, 2, 4, 8, 20)))
        piece = data[start:stop]
        kind = choices.below(6)
        if kind == 0:
            piece = choices.pick(vocabulary)
        elif kind == 1:
            start, stop, piece = _word(data, start, choices.pick(vocabulary))
        elif kind == 2:
            piece = (piece or choices.pick(vocabulary)) * choices.pick(REPEATS)
        elif kind == 3:
            piece = b""
        elif kind == 4:
            piece = choices.raw(8)
        else:
            stop = len(data) if choices.one_in(4) else stop
        data = (data[:start] + piece + data[stop:])[:LARGEST]
    return data


def _word(data: bytes, at: int, new: bytes) -> tuple[int, int, bytes]:
    """Ends of the word around a position, and what replaces it."""
    blanks = b" \t\n,:=[]{}"
    start = at
    while start > 0 and data[start - 1] not in blanks:
        start -= 1
    while at < len(data) and data[at] not in blanks:
        at += 1
    return start, at, new


def damaged_tree(choices: Choices, tree: Any, keys: Sequence[str] = ()) -> Any:
    """A tree of dictionaries and lists with up to five values replaced, removed, renamed or nested deeply."""
    tree = copy.deepcopy(tree)
    for _ in range(choices.pick((0, 1, 1, 2, 5))):
        place = tree
        while (inner := [v for v in _values(place) if isinstance(v, dict | list) and v]) and choices.below(2):
            place = choices.pick(inner)
        if isinstance(place, dict) and place:
            _damage_entry(choices, place, keys)
        elif isinstance(place, list) and place:
            place[choices.below(len(place))] = _value(choices)
    return tree


def _damage_entry(choices: Choices, place: dict[str, Any], keys: Sequence[str]) -> None:
    key = choices.pick(list(place))
    kind = choices.below(5)
    if kind == 0 and keys:
        place[choices.pick(keys)] = _value(choices)
    elif kind == 1:
        del place[key]
    elif kind == 2:
        place[choices.pick(("", key.upper(), f"{key}x", "\ud800", *keys))] = place.pop(key)
    else:
        place[key] = _value(choices)


def _value(choices: Choices) -> Any:
    if choices.one_in(20):
        deep: Any = 1
        for _ in range(choices.pick((10, 60, 150))):
            deep = [deep] if choices.below(2) else {"a": deep}
        return deep
    return copy.deepcopy(choices.pick(VALUES))


def _values(place: Any) -> list[Any]:
    return list(place.values()) if isinstance(place, dict) else list(place) if isinstance(place, list) else []


def damaged_json(choices: Choices, tree: Any, keys: Sequence[str] = ()) -> bytes:
    """A JSON file with wrong values, and seldom with damaged text."""
    text = json.dumps(damaged_tree(choices, tree, keys))
    return (
        damaged_text(choices, text, ("NaN", "Infinity", "{", "[", "}")) if choices.one_in(4) else text.encode()
    )


def nifti_bytes(array: Any, *, version: int = 1, affine: Any = None) -> bytes:
    """A valid NIfTI file; voxels of 2 mm on orthogonal axes by default."""
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    image = kind(array, np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine)
    image.header.set_xyzt_units("mm", "sec")
    return image.to_bytes()


def damaged_nifti(choices: Choices, data: bytes, version: int = 1) -> bytes:
    """A NIfTI file with up to four header fields set to extremes, and seldom cut or overwritten."""
    header = np.frombuffer(data, dtype=HEADERS[version], count=1).copy()
    for _ in range(choices.below(5)):
        name = choices.pick(header.dtype.names or ())
        kind = header.dtype[name].base.kind
        flat = header[name].reshape(-1)
        place = choices.below(flat.size)
        with np.errstate(all="ignore"):
            if kind == "S":
                flat[place] = choices.raw(16)
            else:
                number = np.float64(choices.pick(NUMBERS))
                limits = None if kind == "f" else np.iinfo(flat.dtype)
                flat[place] = number if limits is None else _within(number, limits.min, limits.max)
    raw = bytearray(header.tobytes() + data[header.nbytes :])
    if choices.one_in(6):
        start = choices.below(len(raw))
        raw[start : start + 4] = choices.raw(4)
    return bytes(raw[: choices.below(len(raw))] if choices.one_in(10) else raw)


def _within(number: np.float64, low: int, high: int) -> int:
    return 0 if np.isnan(number) else low if number <= low else high if number >= high else int(number)


def damaged_voxels(choices: Choices, array: Any) -> Any:
    """Float32 voxels with up to three of: one extreme value, an extreme plane or volume, all of them."""
    array = np.array(array, dtype=np.float32, order="F")
    for _ in range(choices.below(4)):
        with np.errstate(all="ignore"):
            value = np.float32(choices.pick(NUMBERS))
        extent = choices.below(4)
        if extent == 0:
            array.reshape(-1, order="F")[choices.below(array.size)] = value
        elif extent == 1:
            array[..., choices.below(array.shape[-1])] = value
        elif extent == 2:
            with np.errstate(all="ignore"):
                array *= value
        else:
            array[:] = value
    return array
