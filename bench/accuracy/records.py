"""Records of a study, by part, for the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.accuracy.people import require
from bench.accuracy.scenarios import Goal, Scenario
from bench.accuracy.study import Job, Store

ROLE = {"stages": "development", "combinations": "development"}
"""Part -> role of its heads; held-out in all others."""


@dataclass(frozen=True)
class Study:
    """Records and conditions of a run, for the document.

    Parameters
    ----------
    store
        Records.
    jobs
        Part ("goals", "stages", "combinations", "kinds", "presets", "forward") -> its jobs.
    goals
        Goal lines.
    machine
        Facts about the machine.
    options
        Of the command line, where they differ from the defaults: " --voxel-size 3".

    Raises
    ------
    UsageError
        If a part has heads of the wrong role.
    """

    store: Store
    jobs: Mapping[str, Sequence[Job]]
    goals: Sequence[Goal]
    machine: Mapping[str, Any]
    options: str = ""

    def __post_init__(self) -> None:
        for part, jobs in self.jobs.items():
            require(ROLE.get(part, "held-out"), (job.subject for job in jobs), f"part {part!r}")

    def records(
        self,
        part: str,
        *,
        table: str | None = None,
        start: str | None = None,
        scenario: Scenario | None = None,
    ) -> list[dict[str, Any]]:
        """Records of a part, of one table, start and scenario."""
        return self.store.of(
            job for job in self.jobs[part]
            if table in {None, job.chain.table} and start in {None, job.chain.start}
            and scenario in {None, job.scenario}
        )  # fmt: skip
