"""The study: which chains run on which heads, and the file their scores are kept in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.accuracy import tables
from bench.accuracy.chains import (
    Chain,
    background_chains,
    combination_chains,
    field_chains,
    inversion_chains,
    preset_chains,
    rival_chains,
)
from bench.accuracy.heads import LAYOUT, make_case
from bench.accuracy.people import PEOPLE, require
from bench.accuracy.scenarios import Goal, Scenario
from bench.accuracy.scoring import VERSION
from qsmengine.pipeline.configuration.config import DEFAULT_PRESET

Record = dict[str, Any]
GOAL_PRESETS = frozenset({DEFAULT_PRESET, "accurate", "single-echo", "double-echo-flash"})
KIND_PRESETS = frozenset({DEFAULT_PRESET, "accurate", "fast", "consensus"})


@dataclass(frozen=True)
class Job:
    """One chain on one head."""

    scenario: Scenario
    subject: int
    chain: Chain

    @property
    def key(self) -> str:
        """Names scenario, head and chain with all their parameters."""
        facts = {name: value for name, value in self.scenario.as_dict().items() if name != "name"}
        who = asdict(PEOPLE[self.subject])
        return json.dumps([LAYOUT, VERSION, facts, self.subject, who, self.chain.digest], sort_keys=True)


class Runner(Protocol):
    """Anything that turns a head's file and a chain into a record."""

    def run(self, path: Path, chain: Chain) -> Record:
        """Record of one chain."""
        ...


class Store:
    """Records as JSON lines, one per job; the last line of a key counts.

    Parameters
    ----------
    path
        File; made when the first record arrives.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, Record] = {}
        self._cut_off = False
        if path.exists():
            text = path.read_text(encoding="utf-8")
            self._cut_off = not text.endswith("\n")
            for line in text.splitlines():
                record = _parsed(line)
                if record is not None:
                    self.records[record["key"]] = record

    def has(self, job: Job, max_seconds: float) -> bool:
        """Return whether the job is done, or was given up after at least as long as it would get now."""
        record = self.records.get(job.key)
        if record is None:
            return False
        return bool(record["status"] != "skipped" or record["limit"] >= max_seconds)

    def forget(self, names: Iterable[str]) -> None:
        """Drop the records of chains whose name contains one of `names`, so that they run again."""
        dropped = tuple(names)
        self.records = {
            key: record
            for key, record in self.records.items()
            if not any(n in record["chain"] for n in dropped)
        }

    def add(self, job: Job, record: Record) -> Record:
        """Keep the record of a job."""
        full = {
            "key": job.key, "scenario": job.scenario.name, "voxel_size": job.scenario.voxel_size,
            "sampling": job.scenario.sampling, "head": job.subject, "table": job.chain.table,
            "start": job.chain.start, "chain": job.chain.name, **record,
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * self._cut_off + json.dumps(full) + "\n")
        self._cut_off = False
        self.records[job.key] = full
        return full

    def of(self, jobs: Iterable[Job]) -> list[Record]:
        """Records of those `jobs` that have one."""
        return [self.records[job.key] for job in jobs if job.key in self.records]


def _place(job: Job) -> tuple[Any, ...]:
    """Jobs of one head at one angle stand side by side; else they keep their order."""
    scenario = job.scenario
    kind = scenario.kind
    tissue = (kind.features, kind.texture, kind.close_skull, kind.flat)
    return job.subject, scenario.sampling, scenario.tilt, scenario.voxel_size, tissue, scenario.name


def _parsed(line: str) -> Record | None:
    """A line's record; None for one that was cut off when a run was ended."""
    try:
        record: Record = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record


def stage_jobs(scenario: Scenario, heads: Sequence[int]) -> list[Job]:
    """Every stage alone, with true inputs."""
    chains = [*field_chains(), *background_chains(), *inversion_chains()]
    return [Job(scenario, head, chain) for head in heads for chain in chains]


def combination_jobs(scenario: Scenario, heads: Sequence[int]) -> list[Job]:
    """Every background removal with every inversion, from the true total field and from raw phase."""
    chains = [*combination_chains("total"), *combination_chains("raw")]
    return [Job(scenario, head, chain) for head in heads for chain in chains]


def preset_jobs(scenarios: Iterable[Scenario], heads: Sequence[int], *, own_mask: bool = True) -> list[Job]:
    """Whole presets on every scenario, on the first one also with computed masks."""
    jobs = []
    for number, scenario in enumerate(scenarios):
        chains = preset_chains("raw", scenario.echoes)
        if own_mask and number == 0:
            chains += preset_chains("raw", scenario.echoes, own_mask=True)
        jobs += [Job(scenario, head, chain) for head in heads for chain in chains]
    return jobs


def goal_jobs(goals: Iterable[Goal], heads: Sequence[int], leading: Iterable[Chain] = ()) -> list[Job]:
    """Presets and rivals on the goal lines, from where each line starts, and the chains `leading` there.

    Of presets only the default, "accurate", and those made for one or two echoes: all are in the tables.
    """
    starts = [(goal.scenario, goal.start) for goal in goals]
    return _comparisons(starts, heads, leading, GOAL_PRESETS)


def kind_jobs(scenarios: Iterable[Scenario], heads: Sequence[int], leading: Iterable[Chain] = ()) -> list[Job]:
    """The same chains from raw phase on every kind of head."""
    starts = [(scenario, "raw") for scenario in scenarios]
    return _comparisons(starts, heads, leading, KIND_PRESETS)


def _comparisons(
    starts: Sequence[tuple[Scenario, str]],
    heads: Sequence[int],
    leading: Iterable[Chain],
    names: frozenset[str],
) -> list[Job]:
    """Presets of these `names`, from raw phase also rivals, and chains `leading` that start there."""
    others = tuple(leading)
    chains: dict[tuple[str, int], list[Chain]] = {}
    for scenario, start in starts:
        key = (start, scenario.echoes)
        if key not in chains:
            presets = [chain for chain in preset_chains(*key) if chain.name in names]
            rivals = rival_chains() if start == "raw" else []
            leaders = [chain for chain in others if chain.start == start]
            chains[key] = list({chain.digest: chain for chain in (*presets, *rivals, *leaders)}.values())
    return [
        Job(scenario, head, chain)
        for scenario, start in starts
        for head in heads
        for chain in chains[start, scenario.echoes]
    ]


def leading_chains(store: Store, scenario: Scenario, heads: Sequence[int], count: int = 2) -> list[Chain]:
    """The `count` best chains from the true local field, the true total field and raw phase, as kept.

    Raises
    ------
    UsageError
        For heads that are held out: chains are chosen on development heads.
    """
    require("development", heads, "the choice of leading chains")
    found = []
    for chains in (inversion_chains(), combination_chains("total"), combination_chains("raw")):
        jobs = [Job(scenario, head, chain) for head in heads for chain in chains]
        best = [median.chain for median in tables.medians(store.of(jobs))[:count]]
        found += [chain for chain in chains if chain.name in best]
    return found


def run_study(
    jobs: Sequence[Job],
    store: Store,
    runner: Runner,
    heads_folder: Path,
    *,
    max_seconds: float,
    say: Callable[[str], None] = print,
) -> None:
    """Run the jobs that the store lacks, head by head, and keep every record at once."""
    missing = [job for job in jobs if not store.has(job, max_seconds)]
    missing.sort(key=_place)
    say(f"{len(jobs) - len(missing)} of {len(jobs)} are kept in {store.path}; {len(missing)} to run")
    for number, job in enumerate(missing, start=1):
        path = make_case(heads_folder, job.scenario, job.subject)
        record = store.add(job, runner.run(path, job.chain))
        outcome = (
            f"{record['whole']:6.1f} % {record['seconds']:6.1f} s"
            if record["status"] == "ok"
            else record["reason"]
        )
        say(f"{number:4}/{len(missing)} head {job.subject} {job.scenario.name} | {job.chain.table} "
            f"{job.chain.start} {job.chain.name}: {outcome}")  # fmt: skip
