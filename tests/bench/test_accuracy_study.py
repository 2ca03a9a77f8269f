from itertools import product
from pathlib import Path

import pytest

from bench.accuracy import command, study, tables
from bench.accuracy.chains import rival_chains
from bench.accuracy.document import document, outcome
from bench.accuracy.kinds_table import left_out
from bench.accuracy.people import DEVELOPMENT, HELD_OUT, PEOPLE
from bench.accuracy.records import Study
from bench.accuracy.scenarios import BASE, KINDS, goals, kinds, variations
from bench.accuracy.study import (
    Store,
    combination_jobs,
    goal_jobs,
    kind_jobs,
    leading_chains,
    preset_jobs,
    run_study,
    stage_jobs,
)
from qsmengine.errors import UsageError


def record(chain, head, whole, status="ok", **more):
    scores = {
        "scored": whole - 1,
        "xsim": 0.5,
        "volume": 90.0,
        "dgm_slope": 1.0,
        "dgm_error": 3.0,
        "seconds": 0.4,
    }
    if status != "ok":
        return {"chain": chain, "head": head, "status": status, **more}
    return {"chain": chain, "head": head, "status": status, "whole": whole, **scores, **more}


SCORES = {"a": (10.0, 20.0, 60.0), "b": (30.0, 25.0, 26.0), "c": (15.0, 40.0, 20.0)}
RECORDS = [record(chain, head, row[head - 1]) for chain, row in SCORES.items() for head in (1, 2, 3)]


class FakeRunner:
    """Scores without reconstruction; remembers what it ran."""

    def __init__(self, status="ok", limit=10.0):
        self.ran = []
        self.status, self.limit = status, limit

    def run(self, path: Path, chain):
        self.ran.append((path, chain.name))
        if self.status == "skipped":
            return {"status": "skipped", "reason": f"took longer than {self.limit:g} s", "limit": self.limit}
        whole = 10.0 + len(chain.name) + chain.name.count("e")
        full = record(chain.name, 0, whole)
        return {key: value for key, value in full.items() if key not in {"chain", "head"}}


@pytest.fixture
def no_heads(monkeypatch):
    monkeypatch.setattr(study, "make_case", lambda folder, scenario, subject: folder / f"{subject}.npz")


def test_medians_are_sorted_and_need_every_head():
    found = tables.medians([*RECORDS, record("d", 1, 1.0), record("e", 2, 0, "failed", reason="x")])
    assert [m.chain for m in found] == ["a", "c", "b"]
    assert [m.values["whole"] for m in found] == [20.0, 20.0, 26.0]
    assert found[0].worst == 60.0
    assert found[0].heads == 3


def test_leave_one_out_scores_the_others_choice_on_the_head_left_out():
    found = {row.head: row for row in tables.leave_one_out(RECORDS)}
    assert (found[1].chosen, found[1].score, found[1].best, found[1].best_score) == ("b", 30.0, "a", 10.0)
    assert (found[2].chosen, found[2].score) == ("c", 40.0)
    assert (found[3].chosen, found[3].score, found[3].best) == ("a", 60.0, "c")
    assert tables.leave_one_out(RECORDS[:1]) == []


def test_tables_name_what_did_not_run():
    rows = [*RECORDS, record("slow", 1, 0, "skipped", reason="took longer than 5 s", limit=5.0)]
    text = tables.chain_table(rows)
    assert "| a | 20.0 |" in text
    assert "Not ranked (skipped: took longer than 5 s): slow." in text
    pairs = [record(f"{x} + {y}", 1, 50.0 + i) for i, (x, y) in enumerate(product("pq", "rs"))]
    assert tables.matrix(pairs, "pq", "rst").splitlines()[2] == "| p | 50.0 | 51.0 | n/a |"


def test_a_study_resumes_where_it_stopped(tmp_path, no_heads):
    jobs = stage_jobs(BASE, (1, 2))
    path = tmp_path / "records.jsonl"
    first = FakeRunner()
    run_study(jobs[:7], Store(path), first, tmp_path, max_seconds=10, say=lambda _: None)
    with path.open("a") as file:
        file.write('{"key": "cut o')
    second = FakeRunner()
    run_study(jobs, Store(path), second, tmp_path, max_seconds=10, say=lambda _: None)
    assert len(first.ran) == 7
    assert len(second.ran) == len(jobs) - 7
    third = FakeRunner()
    run_study(jobs, Store(path), third, tmp_path, max_seconds=10, say=lambda _: None)
    assert third.ran == []
    assert len(Store(path).of(jobs)) == len(jobs)


def test_chains_named_again_run_again(tmp_path, no_heads):
    jobs = stage_jobs(BASE, (1,))
    store = Store(tmp_path / "records.jsonl")
    run_study(jobs, store, FakeRunner(), tmp_path, max_seconds=10, say=lambda _: None)
    store.forget(["tkd", "ismv"])
    again = FakeRunner()
    run_study(jobs, store, again, tmp_path, max_seconds=10, say=lambda _: None)
    assert sorted(name for _, name in again.ran) == ["ismv", "tkd"]


def test_chains_given_up_run_again_when_they_get_more_time(tmp_path, no_heads):
    jobs = stage_jobs(BASE, (1,))[:3]
    path = tmp_path / "records.jsonl"
    run_study(jobs, Store(path), FakeRunner("skipped"), tmp_path, max_seconds=10, say=lambda _: None)
    same, longer = FakeRunner(), FakeRunner()
    run_study(jobs, Store(path), same, tmp_path, max_seconds=10, say=lambda _: None)
    run_study(jobs, Store(path), longer, tmp_path, max_seconds=20, say=lambda _: None)
    assert same.ran == []
    assert len(longer.ran) == 3


def test_goal_lines_take_the_chains_that_lead_the_tables(tmp_path, no_heads):
    store = Store(tmp_path / "records.jsonl")
    jobs = [*stage_jobs(BASE, (1, 2)), *combination_jobs(BASE, (1, 2))]
    run_study(jobs, store, FakeRunner(), tmp_path, max_seconds=10, say=lambda _: None)
    leading = leading_chains(store, BASE, (1, 2), count=1)
    for start in ("local", "total"):
        (chain,) = (c for c in leading if c.start == start)
        rows = [r for r in store.records.values() if r["start"] == start and r["table"] == chain.table]
        assert min(r["whole"] for r in rows) == next(r["whole"] for r in rows if r["chain"] == chain.name)
    wanted = {job.chain.name for job in goal_jobs(goals(1.0), (1,), leading) if job.scenario.snr is None}
    assert {chain.name for chain in leading} <= wanted


def whole_study(folder, held_out=(3, 11)):
    lines, scenarios = goals(1.0), variations(2.0)
    jobs = {
        "goals": goal_jobs(lines, held_out),
        "kinds": kind_jobs(kinds(2.0), held_out),
        "stages": stage_jobs(BASE, (1, 2)),
        "combinations": combination_jobs(BASE, (1, 2)),
        "presets": preset_jobs(scenarios, held_out),
        "forward": [],
    }
    machine = dict.fromkeys(("date", "qsmengine", "commit", "device", "threads", "cpu"), "x")
    return Study(Store(folder / "records.jsonl"), jobs, lines, machine)


def test_the_document_holds_goals_kinds_limits_combinations_and_presets(tmp_path, no_heads):
    study_ = whole_study(tmp_path)
    for part in study_.jobs.values():
        run_study(part, study_.store, FakeRunner(), tmp_path, max_seconds=10, say=lambda _: None)
    text = document(study_)
    for line in study_.goals:
        assert f"| {line.title} | {line.limit:g}" in text
    assert "not run" not in text
    assert "\n| subject 3 | " in text
    assert "| true local field | " in text
    assert "| vsharp | " in text
    assert "from raw phase" in text
    assert all(f"### {s.name}" in text for s in variations(2.0))
    assert all(f"\n| {kind.name} | " in text for kind in KINDS)
    assert all(rival.name in text for rival in rival_chains())
    assert "—" not in text
    store = Store(tmp_path / "none")
    empty = document(Study(store, dict.fromkeys(study_.jobs, ()), study_.goals, study_.machine))
    assert "not run" in empty


@pytest.mark.parametrize(
    ("whole", "xsim", "expected"), [(24.9, 0.86, "met"), (24.9, 0.84, "met in nrmse"), (25.1, 0.9, "missed")]
)
def test_a_goal_is_met_by_the_error_and_the_similarity(whole, xsim, expected):
    goal = next(line for line in goals(1.0) if line.xsim == 0.85)
    assert outcome(goal, tables.Median("accurate", 1, {"whole": whole, "xsim": xsim}, whole)) == expected
    assert outcome(goal, None) == "n/a"


def test_held_out_heads_share_no_label_map_and_no_seed_with_development_heads():
    assert not {p.seed for p in DEVELOPMENT.values()} & {p.seed for p in HELD_OUT.values()}
    plain = {p.labels for p in DEVELOPMENT.values() if p.deformation == 0}
    assert all(p.deformation > 0 or p.labels not in plain for p in HELD_OUT.values())
    assert any(p.labels not in {q.labels for q in DEVELOPMENT.values()} for p in HELD_OUT.values())
    assert len(set(PEOPLE.values())) == len(PEOPLE) == len(DEVELOPMENT) + len(HELD_OUT)


def test_chains_are_not_chosen_on_held_out_heads_nor_results_reported_from_others(tmp_path, no_heads):
    with pytest.raises(UsageError, match="development heads are needed; 11 given"):
        leading_chains(Store(tmp_path / "records.jsonl"), BASE, (1, 11))
    with pytest.raises(UsageError, match="held-out heads are needed; 2 given"):
        whole_study(tmp_path, held_out=(3, 2))


def test_means_over_kinds_need_a_result_in_every_kind():
    groups = [[record("a", 3, 10.0), record("b", 3, 20.0)], [record("a", 3, 30.0)]]
    assert tables.averaged(groups) == [{"chain": "a", "head": 3, "status": "ok", "whole": 20.0}]


def test_all_heads_of_a_subject_are_left_out_together():
    # Heads 3 and 13 are one subject, for whom a is best; for head 11 b is best, in one kind by 6 points.
    plain = {3: (10.0, 20.0), 13: (12.0, 20.0), 11: (30.0, 28.0)}
    veins = {3: (10.0, 20.0), 13: (10.0, 20.0), 11: (36.0, 30.0)}
    groups = {
        name: [record(chain, head, row[n]) for head, row in scores.items() for n, chain in enumerate("ab")]
        for name, scores in (("plain", plain), ("veins", veins))
    }
    lines = left_out(groups).splitlines()[2:]
    assert lines == [
        "| subject 1 | a | 33.0 | b | 29.0 | 6.0 (veins) |",
        "| subject 3 | b | 20.0 | a | 10.5 | 10.0 (veins) |",
    ]
    assert left_out({"plain": [record("a", 3, 10.0), record("a", 13, 10.0)]}) == "Needs two subjects or more."


def test_the_command_writes_records_and_document(tmp_path, no_heads, monkeypatch, capsys):
    monkeypatch.setattr(FakeRunner, "close", lambda self: None, raising=False)
    monkeypatch.setattr(command, "Worker", lambda *_: FakeRunner())
    argv = ["--quick", "--cache", str(tmp_path), "--out", str(tmp_path / "r.jsonl")]
    assert command.main([*argv, "--doc", str(tmp_path / "docs" / "a.md")]) == 0
    text = (tmp_path / "docs" / "a.md").read_text()
    assert "python -m bench accuracy --quick" in text
    assert "## Kinds of head" in text
    assert "what limits the result\n\nNot part of this run." in text
    rows = Store(tmp_path / "r.jsonl").records.values()
    assert {row["voxel_size"] for row in rows} == {2.0}
    assert {row["head"] for row in rows} == {3}
    capsys.readouterr()
    tables_only = [*argv, "--parts", "stages"]
    assert command.main(tables_only) == 0
    assert f"{len(stage_jobs(BASE, (1,)))} to run" in capsys.readouterr().out
    assert command.main([*tables_only, "--only", "tkd", "sharp", "--again", "tkd"]) == 0
    assert "3 of 4 are kept" in capsys.readouterr().out
