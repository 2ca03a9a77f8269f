"""What counts as a clean end: a finite result, or one of the project's own errors, within seconds."""

from __future__ import annotations

import dataclasses
import math
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from qsmengine.errors import QsmengineError
from qsmengine.stages.deferred import Declaration

CPU_SECONDS = 10.0
"""Processor time of one file above which it counts as a hang."""


class UncleanEndError(AssertionError):
    """A reader ended with a foreign exception, hung, or returned numbers that are not finite."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} ({where})")
        self.where = where


class _Hang(BaseException):
    """Raised by the timer; no reader catches it."""


def check(read: Callable[[Path], object], folder: Path) -> bool:
    """Read a folder; return whether it was accepted, and raise UncleanEndError for anything but a clean end."""
    try:
        with _timer(CPU_SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = read(folder)
    except QsmengineError as error:
        _printable(str(error))
        return False
    except _Hang as error:
        raise UncleanEndError(f"more than {CPU_SECONDS:g} s of processor time", _place(error)) from None
    except Exception as error:
        raise UncleanEndError(f"{type(error).__name__}: {str(error)[:200]}", _place(error)) from error
    for text in _texts(result):
        _printable(text)
    for number in _numbers(result):
        if not math.isfinite(number):
            raise UncleanEndError(f"{number} in what was returned", "result")
    return True


def _printable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UncleanEndError(f"text that cannot be printed: {text[:80]!r}", "text") from None


@contextmanager
def _timer(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise _Hang

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _place(error: BaseException) -> str:
    """Kind of the error and the last line of the project that it passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/qsmengine/" in f.filename]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "outside"
    return f"{type(error).__name__} {where}"


def _numbers(value: Any) -> Iterator[float]:
    """Every number in a result; missing entries of a table are skipped."""
    if isinstance(value, float | np.floating):
        yield float(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fc":
        yield float(np.abs(value).max(initial=0.0))
    elif isinstance(value, pd.DataFrame):
        yield from (float(v) for v in value.select_dtypes("number").to_numpy().ravel() if not pd.isna(v))
    else:
        for part in _parts(value):
            yield from _numbers(part)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for part in _parts(value):
            yield from _texts(part)


def _parts(value: Any) -> Iterator[Any]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name) for field in dataclasses.fields(value))
    elif isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, Declaration):
        yield from value.model_dump().values()
    elif isinstance(value, BaseModel):
        yield from dict(value).values()
    elif isinstance(value, tuple | list | set | frozenset):
        yield from value
