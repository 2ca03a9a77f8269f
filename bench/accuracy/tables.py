"""Medians over heads, leave-one-head-out, and tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]
METRICS = {
    "whole": ("nrmse, whole mask [%]", "{:.1f}"),
    "scored": ("nrmse, QSM-CI [%]", "{:.1f}"),
    "xsim": ("xsim", "{:.2f}"),
    "layer_1": ("layer 1 [%]", "{:.0f}"),
    "layer_2": ("2", "{:.0f}"),
    "layer_3": ("3", "{:.0f}"),
    "layer_4": ("4", "{:.0f}"),
    "layers_5_8": ("5 to 8", "{:.0f}"),
    "deeper": ("deeper", "{:.0f}"),
    "volume": ("mask kept [%]", "{:.0f}"),
    "dgm_slope": ("DGM slope", "{:.2f}"),
    "dgm_error": ("DGM error [ppb]", "{:.1f}"),
    "seconds": ("time [s]", "{:.1f}"),
}
"""Score -> column title and format."""


ABSENT = "Not part of this run."


@dataclass(frozen=True)
class Median:
    """Medians over heads of one chain; `worst` is the largest nrmse in the whole mask [%]."""

    chain: str
    heads: int
    values: Mapping[str, float]
    worst: float


def medians(records: Iterable[Record]) -> list[Median]:
    """One per chain that ran on every head that any chain ran on, best nrmse first."""
    by_chain: dict[str, list[Record]] = {}
    everyone = set()
    for record in records:
        if record["status"] == "ok":
            by_chain.setdefault(record["chain"], []).append(record)
            everyone.add(record["head"])
    found = []
    for chain, rows in by_chain.items():
        if {row["head"] for row in rows} == everyone:
            values = {
                name: statistics.median(row[name] for row in rows)
                for name in METRICS
                if all(row.get(name) is not None for row in rows)
            }
            found.append(Median(chain, len(rows), values, max(row["whole"] for row in rows)))
    return sorted(found, key=lambda m: m.values["whole"])


@dataclass(frozen=True)
class LeftOut:
    """The chain that is best on the other heads, and what it and the best chain score on `head` [%]."""

    head: int
    chosen: str
    score: float
    best: str
    best_score: float


def leave_one_out(records: Sequence[Record]) -> list[LeftOut]:
    """For each head the chain of least median nrmse (whole mask) on the others, scored on it."""
    done = [record for record in records if record["status"] == "ok"]
    heads = sorted({record["head"] for record in done})
    if len(heads) < 2:
        return []
    found = []
    for head in heads:
        here = {record["chain"]: float(record["whole"]) for record in done if record["head"] == head}
        others = [m for m in medians(r for r in done if r["head"] != head) if m.chain in here]
        if others:
            best = min(here, key=lambda chain: here[chain])
            found.append(LeftOut(head, others[0].chain, here[others[0].chain], best, here[best]))
    return found


def averaged(groups: Iterable[Iterable[Record]]) -> list[dict[str, Any]]:
    """Records of chain and head with the mean nrmse over groups, of those with a result in every group."""
    found: dict[tuple[str, int], list[float]] = {}
    count = 0
    for group in groups:
        count += 1
        for record in group:
            if record["status"] == "ok":
                found.setdefault((record["chain"], record["head"]), []).append(float(record["whole"]))
    return [
        {"chain": chain, "head": head, "status": "ok", "whole": statistics.fmean(values)}
        for (chain, head), values in found.items()
        if len(values) == count
    ]


def cell(median: Median | None, key: str) -> str:
    """Return a score as text; "n/a" without it."""
    if median is None or key not in median.values:
        return "n/a"
    return METRICS[key][1].format(median.values[key])


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column is text, the others are numbers."""
    lines = [f"| {' | '.join(titles)} |", f"|---|{'---:|' * (len(titles) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def chain_table(records: Sequence[Record], *, limit: int | None = None) -> str:
    """Chains by median nrmse, with every score that all of them have; then those that gave no result."""
    rows = medians(records)[:limit]
    if not rows:
        return ABSENT
    names = [name for name in METRICS if any(name in row.values for row in rows)]
    body = [
        [row.chain, *(METRICS[n][1].format(row.values[n]) if n in row.values else "n/a" for n in names)]
        for row in rows
    ]
    return markdown(["chain", *(METRICS[n][0] for n in names)], body) + _missing(records)


def matrix(records: Sequence[Record], first: Sequence[str], second: Sequence[str]) -> str:
    """Median nrmse in the whole mask [%] of "first + second" chains, first down, second across."""
    values = {row.chain: row.values["whole"] for row in medians(records)}

    def cell(a: str, b: str) -> str:
        return f"{values[f'{a} + {b}']:.1f}" if f"{a} + {b}" in values else "n/a"

    return markdown(["", *second], ([a, *(cell(a, b) for b in second)] for a in first))


def left_out_table(records: Sequence[Record]) -> str:
    """Leave-one-head-out as a table, with the median over heads below."""
    rows = leave_one_out(records)
    if not rows:
        return "Needs two heads or more."
    body = [[f"head {r.head}", r.chosen, f"{r.score:.1f}", r.best, f"{r.best_score:.1f}"] for r in rows]
    middle: Callable[[Iterable[float]], str] = lambda values: f"{statistics.median(values):.1f}"  # noqa: E731
    body.append(["median", "", middle(r.score for r in rows), "", middle(r.best_score for r in rows)])
    titles = ["left out", "best on the others", "its nrmse here [%]", "best here", "nrmse [%]"]
    return markdown(titles, body)


def _missing(records: Sequence[Record]) -> str:
    """Chains that failed or were given up, with the reason of each, once."""
    reasons: dict[str, list[str]] = {}
    for record in records:
        if record["status"] != "ok":
            text = f"{record['status']}: {record['reason']}"
            chains = reasons.setdefault(text, [])
            if record["chain"] not in chains:
                chains.append(record["chain"])
    return "".join(f"\n\nNot ranked ({text}): {', '.join(chains)}." for text, chains in reasons.items())
