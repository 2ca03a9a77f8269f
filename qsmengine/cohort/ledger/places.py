"""Paths of the engine's own files below ``OUT/.qsmengine``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HOME = ".qsmengine"


@dataclass(frozen=True)
class Places:
    """Folders of the engine in the output folder `out`.

    ``sessions/KEY.json`` holds the ledger, ``claims/KEY/N`` the claims on sessions, ``work/KEY/`` unfinished
    outputs, ``logs/KEY.txt`` tracebacks, and ``logs/RUN.jsonl`` events. ``stop/RUN`` asks a run to stop.
    """

    out: Path

    @property
    def home(self) -> Path:
        """Folder of all the others."""
        return self.out / HOME

    @property
    def sessions(self) -> Path:
        """Folder of the ledger."""
        return self.home / "sessions"

    @property
    def claims(self) -> Path:
        """Folder of the claims."""
        return self.home / "claims"

    def record(self, key: str) -> Path:
        """Ledger of a session."""
        return self.sessions / f"{key}.json"

    def claim(self, key: str) -> Path:
        """Claims of a session."""
        return self.claims / key

    def work(self, key: str) -> Path:
        """Unfinished outputs of a session."""
        return self.home / "work" / key

    def log(self, key: str) -> Path:
        """Traceback of a session that failed unexpectedly."""
        return self.home / "logs" / f"{key}.txt"

    def events(self, run: str) -> Path:
        """Events of a run, one JSON object per line."""
        return self.home / "logs" / f"{run}.jsonl"

    def stop(self, run: str) -> Path:
        """File whose existence asks a run to stop."""
        return self.home / "stop" / run
