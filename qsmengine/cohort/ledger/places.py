"""Where the engine keeps its own files, below ``OUT/.qsmengine``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HOME = ".qsmengine"


@dataclass(frozen=True)
class Places:
    """Folders of the engine in the output folder `out`.

    ``sessions/KEY.json`` the ledger, ``claims/KEY/N`` who works on a session, ``work/KEY/`` what is not
    finished, ``logs/KEY.txt`` tracebacks, ``logs/RUN.jsonl`` what happened, ``stop/RUN`` that a run is to end.
    """

    out: Path

    @property
    def home(self) -> Path:
        """Folder of all that follows."""
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
        """What happened in a run, one JSON object a line."""
        return self.home / "logs" / f"{run}.jsonl"

    def stop(self, run: str) -> Path:
        """Exists once a run is to end."""
        return self.home / "stop" / run
