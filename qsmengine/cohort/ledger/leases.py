"""Exclusive, expiring session locks (claims).

A claim is a file ``claims/KEY/N``. The process that created the file with the highest number N holds the claim.
The next number is taken with a link, which fails if the name exists, so that one of several takers wins. The
highest file is never removed: a released claim remains and marks the session as free. A number is therefore
never taken twice, and a holder that was believed dead recognises by the higher number that it lost the claim.

The holder touches its file regularly. A claim expires when its last touch is older than `EXPIRY` by the clock
of the file system, or when its process ran on this machine and has ended.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from qsmengine.cohort.ledger.places import Places
from qsmengine.io.owned import is_left_behind, owned_name
from qsmengine.io.processes import Process, is_gone, this_process

EXPIRY = 60.0
"""Time [s] without a touch after which a claim may be taken over."""
BEATS = 6
"""Touches per `EXPIRY`."""
SKEW = 1.0
"""Time [s] by which a touch may lie in the future of the file system's clock."""
MAX_PAUSE = 2.0
"""Longest interval [s] between touches; at each the holder also checks whether its run is stopping."""


@dataclass(frozen=True)
class Standing:
    """State of a claim: number, process, last touch [s] by the file system's clock, whether released."""

    number: int
    owner: Process | None
    token: str
    run: str
    touched: float
    released: bool

    def free(self, now: float, expiry: float) -> bool:
        """Return whether another process may take the session."""
        if self.released or (self.owner is not None and is_gone(self.owner)):
            return True
        return now - self.touched > expiry


class Claim:
    """A session held by this process: a context manager that touches the file and finally releases it."""

    def __init__(self, path: Path, token: str, expiry: float, on_beat: Callable[[], None] | None) -> None:
        self._path = path
        self._token = token
        self._expiry = expiry
        self._on_beat = on_beat
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"claim {path.parent.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.release()

    @property
    def held(self) -> bool:
        """Whether this process still holds the session."""
        found = find(self._path.parent)
        return found is not None and found.number == int(self._path.name) and found.token == self._token

    def sweep(self) -> None:
        """Remove temporary files of killed processes that tried to take or release this session."""
        sweep(self._path.parent, self._expiry)

    def release(self) -> None:
        """Release the claim if it is still held."""
        if self.held:
            with suppress(OSError):
                _mark_released(self._path, self._token)

    def _beat(self) -> None:
        while not self._ended.wait(min(self._expiry / BEATS, MAX_PAUSE)):
            with suppress(OSError):
                os.utime(self._path)
            if self._on_beat is not None:
                self._on_beat()


def acquire(
    out: Path,
    key: str,
    *,
    run: str = "",
    expiry: float = EXPIRY,
    on_beat: Callable[[], None] | None = None,
) -> Claim | None:
    """Take a session; return None if another process holds it.

    Parameters
    ----------
    out
        Output folder.
    key
        Session.
    run
        Name of the run.
    expiry
        Time [s] without a touch after which the claim of another process has expired.
    on_beat
        Called at every touch, from the thread that touches the claim.

    Raises
    ------
    OSError
        From the file system: no space left, read-only.
    """
    folder = Places(out).claim(key)
    folder.mkdir(parents=True, exist_ok=True)
    found = find(folder)
    if found is not None:
        now = _now(folder)
        if not found.free(now, expiry):
            if found.touched > now + SKEW:
                _set_back(folder / str(found.number), now)
            return None
    number = 1 if found is None else found.number + 1
    token = secrets.token_hex(8)
    path = folder / str(number)
    if not _create(path, _content(token, run)):
        return None
    numbers = _numbers(folder)
    if numbers[-1] != number:
        path.unlink()
        return None
    for old in numbers[:-1]:
        with suppress(OSError):
            (folder / str(old)).unlink()
    return Claim(path, token, expiry, on_beat)


def find(folder: Path) -> Standing | None:
    """Return the current claim in a session's folder; None if there never was one."""
    while numbers := _numbers(folder):
        path = folder / str(numbers[-1])
        try:
            touched = path.stat().st_mtime
            owner, token, run, released = _read(path)
        except FileNotFoundError:
            continue
        return Standing(numbers[-1], owner, token, run, touched, released=released)
    return None


def sweep(folder: Path, expiry: float) -> None:
    """Remove temporary files of killed processes from the claims of a session.

    They are those whose process ran on this machine and has ended, or that are older than `expiry` [s].
    """
    with suppress(OSError):
        left = list(folder.glob(".*.tmp"))
        now = _now(folder) if left else 0.0
        for path in left:
            if is_left_behind(path.name) or now - path.stat().st_mtime > expiry:
                path.unlink()


def release_gone(out: Path, run: str) -> None:
    """Release the claims of processes of `run` that ended on this machine without releasing them."""
    for folder in sorted(Places(out).claims.glob("*")):
        found = find(folder)
        if found is None or found.released or found.run != run:
            continue
        if found.owner is not None and is_gone(found.owner):
            with suppress(OSError):
                _mark_released(folder / str(found.number), found.token)


def _numbers(folder: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdecimal())  # noqa: PTH208
    except FileNotFoundError:
        return []


def _read(path: Path) -> tuple[Process | None, str, str, bool]:
    """Process, token, run and whether released; empty values for a truncated file."""
    try:
        content = json.loads(path.read_bytes())
        owner = Process(**content["process"])
        return owner, str(content["token"]), str(content["run"]), bool(content["released"])
    except (ValueError, TypeError, KeyError):
        return None, "", "", False


def _content(token: str, run: str, *, released: bool = False) -> dict[str, object]:
    return {"token": token, "run": run, "process": asdict(this_process()), "released": released}


def _create(path: Path, content: object) -> bool:
    """Create `path` with its content atomically; return False if it exists."""
    temporary = _temporary(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        return _create_exclusively(path, content)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _create_exclusively(path: Path, content: object) -> bool:
    try:
        with path.open("x", encoding="utf-8") as stream:
            json.dump(content, stream)
    except FileExistsError:
        return False
    return True


def _mark_released(path: Path, token: str) -> None:
    temporary = _temporary(path, _content(token, "", released=True))
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _temporary(path: Path, content: object) -> Path:
    temporary = path.with_name(owned_name("claim"))
    try:
        temporary.write_text(json.dumps(content), encoding="utf-8")
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _set_back(path: Path, now: float) -> None:
    """Set a claim dated in the future back to `now`: a living holder touches it again, a dead one's expires."""
    with suppress(OSError):  # only its user may set a time
        os.utime(path, (now, now))


def _now(folder: Path) -> float:
    """Time by the clock of the file system, taken from a new file."""
    probe = _temporary(folder / "clock", _content("", ""))
    now = probe.stat().st_mtime
    probe.unlink(missing_ok=True)
    return now
