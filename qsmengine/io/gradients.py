"""b-values and gradient directions of a diffusion series in FSL's text format."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qsmengine.data import B0_THRESHOLD, SHELL_WIDTH, check_b_values, unweighted_volumes
from qsmengine.errors import InputError
from qsmengine.grid import FloatArray

NORM_TOLERANCE = 1e-2
"""Deviation of a direction's length from 1 above which a note is added."""
LARGE_B_VALUE = 20000.0
"""Larger b-values [s/mm^2] are noted."""

_ZERO_NORM = 1e-3
_SEPARATORS = re.compile(r"[\s,;]+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


def read_b_values(path: str | Path) -> tuple[FloatArray, list[str]]:
    """Read b-values [s/mm^2] in a row or a column, separated by spaces, tabs, commas or semicolons.

    Returns
    -------
    b_values, notes
        (volume,); warnings.

    Raises
    ------
    InputError
        If the table is empty or has entries that are not finite, non-negative numbers; names file and line.
    """
    path = Path(path)
    rows = _read_rows(path)
    values = np.array([value for row in rows for value in row], dtype=np.float64)
    if len(rows) > 1 and max(map(len, rows)) > 1:
        raise InputError(
            f"{len(rows)} rows of up to {max(map(len, rows))} numbers; one row is needed", source=path
        )
    check_b_values(values, path)
    notes = []
    if values.max() > LARGE_B_VALUE:
        notes.append(f"{path}: b-values up to {values.max():g}: are they in s/mm^2?")
    if values.max() <= B0_THRESHOLD:
        notes.append(f"{path}: every volume counts as b = 0 (b <= {B0_THRESHOLD:g} s/mm^2)")
    return values, notes


def read_b_vectors(path: str | Path) -> tuple[FloatArray, list[str]]:
    """Read gradient directions, 3 x N (FSL) or N x 3, unchanged from the file.

    A 3 x 3 table is read in the orientation that makes its directions unit or zero vectors.

    Returns
    -------
    b_vectors, notes
        (volume, 3), NaN kept; decisions.

    Raises
    ------
    InputError
        If the table is empty, not numeric, ragged, or has neither three rows nor three columns; names file
        and line.
    """
    path = Path(path)
    rows = _read_rows(path)
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise InputError(f"rows of {sorted(lengths)} numbers", source=path, field="bvec")
    table = np.array(rows, dtype=np.float64)
    if table.shape == (3, 3):
        return _orient_square(table, path)
    if table.shape[0] == 3:
        return table.T.copy(), []
    if table.shape[1] == 3:
        return table, [f"{path}: {table.shape[0]} rows of 3 read as one direction per row"]
    raise InputError(
        f"{table.shape[0]} x {table.shape[1]} numbers; 3 x N or N x 3 are needed", source=path, field="bvec"
    )


def clean_b_vectors(
    b_values: FloatArray,
    b_vectors: FloatArray,
    source: str | Path = "bvec",
    b0_threshold: float | None = None,
) -> tuple[FloatArray, list[str]]:
    """Normalise every direction to a unit vector, or zero at b = 0.

    Parameters
    ----------
    b_values
        (volume,) [s/mm^2].
    b_vectors
        (volume, 3).
    source
        File, for messages.
    b0_threshold
        Largest b-value that counts as b = 0 [s/mm^2]; None: :func:`qsmengine.data.unweighted_volumes` decides.

    Returns
    -------
    b_vectors, notes
        (volume, 3); NaN at b = 0 becomes zero; lengths off by more than 1e-2 are noted. b-values are
        never rescaled by the length.

    Raises
    ------
    InputError
        For a zero or NaN direction at b > 0.
    """
    vectors = np.array(b_vectors, dtype=np.float64)
    weighted = ~unweighted_volumes(b_values, b0_threshold)
    notes = []
    broken = ~np.isfinite(vectors).all(axis=1)
    if (broken & ~weighted).any():
        notes.append(
            f"{source}: direction not finite at b = 0, set to zero (volumes {_list(broken & ~weighted)})"
        )
        vectors[broken & ~weighted] = 0.0
    norms = np.linalg.norm(vectors, axis=1)
    useless = weighted & ~(norms > _ZERO_NORM)
    if useless.any():
        raise InputError(
            f"zero or NaN direction at b > 0 in volumes {_list(useless)}; correct the table, or exclude these "
            f"volumes (--exclude-volumes {_list(useless, most=len(useless), separator=',')})",
            source=source,
            field="bvec",
        )
    off = (norms > _ZERO_NORM) & (np.abs(norms - 1.0) > NORM_TOLERANCE)
    if off.any():
        worst = norms[off][np.argmax(np.abs(norms[off] - 1.0))]
        notes.append(
            f"{source}: directions of length up to {worst:.4g} normalised (volumes {_list(off)}); b kept"
        )
    vectors[norms <= _ZERO_NORM] = 0.0
    vectors /= np.where(norms > _ZERO_NORM, norms, 1.0)[:, None]
    return vectors, notes


def isotropic_volumes(
    b_values: FloatArray, b_vectors: FloatArray, b0_threshold: float | None = None
) -> npt.NDArray[np.bool_]:
    """Return which volumes are trace-weighted or isotropic, (volume,) bool.

    Scanners append these images to a shell, with its b-value and the direction 0 0 0. A direction 0 0 0 before
    the last direction of its shell is an error of the table and does not count.
    """
    b = np.asarray(b_values, dtype=np.float64)
    weighted = ~unweighted_volumes(b, b0_threshold)
    undirected = weighted & (np.asarray(b_vectors) == 0).all(axis=1)
    found = undirected.copy()
    for v in np.flatnonzero(undirected):
        later = weighted & ~undirected & (np.abs(b - b[v]) <= SHELL_WIDTH * b[v])
        found[v] = not later[v:].any()
    return found if (weighted & ~undirected).any() else np.zeros_like(found)


def _orient_square(table: FloatArray, path: Path) -> tuple[FloatArray, list[str]]:
    by_column, by_row = (_all_unit(np.linalg.norm(table, axis=axis)) for axis in (0, 1))
    if by_column and by_row and not np.allclose(table, table.T):
        return table.T.copy(), [f"{path}: 3 x 3 table readable both ways, interpreted as 3 x N (FSL)"]
    if by_row and not by_column:
        return table, [f"{path}: 3 x 3 table read as one direction per row, which makes them unit vectors"]
    return table.T.copy(), []


def _all_unit(norms: FloatArray) -> bool:
    return all(math.isnan(n) or n <= _ZERO_NORM or abs(n - 1.0) <= NORM_TOLERANCE for n in norms.tolist())


def _read_rows(path: Path) -> list[list[float]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not a text file", source=path) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=path) from error
    _check_decimal_points(text.strip().splitlines(), path)
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = [word for word in _SEPARATORS.split(line) if word]
        try:
            row = [float(word) for word in words]
        except ValueError as error:
            raise InputError(f"line {number} is not numeric: {line.strip()[:60]!r}", source=path) from error
        if row:
            rows.append(row)
    if not rows:
        raise InputError("empty: contains no number", source=path)
    return rows


def _check_decimal_points(lines: Sequence[str], path: Path) -> None:
    """Refuse decimal commas: a comma inside a number, although blanks or lines already separate the numbers."""
    for number, line in enumerate(lines, start=1):
        words = line.replace(";", " ").split()
        found = next((word for word in words if _DECIMAL_COMMA.fullmatch(word)), None)
        loose = any(word.startswith(",") or word.endswith(",") for word in words)
        if found is not None and not loose and (len(words) > 1 or len(lines) > 3):
            raise InputError(
                f"line {number}: {found!r} has a decimal comma; write points, as in {found.replace(',', '.')}",
                source=path,
            )


def _list(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]], *, most: int = 8, separator: str = ", ") -> str:
    indices = [str(index + 1) for index in np.flatnonzero(chosen)]
    return separator.join(indices[:most]) + (", ..." if len(indices) > most else "")
