"""Section of the document on the kinds of head."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.accuracy import tables
from bench.accuracy.people import PEOPLE
from bench.accuracy.records import Study
from bench.accuracy.scoring import LAYERS
from qsmengine.pipeline.configuration.config import DEFAULT_PRESET

CLOSE = 1.0
"""A default is as good as the best chain if it is within this many points of nrmse [%]."""
LEFT_OUT = """\
Leave one subject out: all heads of a subject, deformed ones too, are left out, the chain of least error over
all kinds is chosen on the others, and its error on the subject is the mean over kinds and heads. The last
column is the kind in which it is furthest behind the best chain [points]."""
COLUMNS = ("whole", *LAYERS, "xsim", "dgm_slope", "dgm_error")


def kind_sections(study: Study) -> list[str]:
    """Chains on every kind of head, the default by layers, and leave-one-subject-out over all kinds."""
    scenarios = list(dict.fromkeys(job.scenario for job in study.jobs["kinds"]))
    if not scenarios:
        return [tables.ABSENT]
    groups = {s.name: study.records("kinds", scenario=s) for s in scenarios}
    found = {name: tables.medians(records) for name, records in groups.items()}
    chains = sorted({m.chain for rows in found.values() for m in rows})
    errors, layers = [], []
    for name, rows in found.items():
        values = {m.chain: m for m in rows}
        usual = values.get(DEFAULT_PRESET)
        behind = "n/a" if usual is None else f"{usual.values['whole'] - rows[0].values['whole']:.1f}"
        errors.append([name, *(tables.cell(values.get(chain), "whole") for chain in chains), behind])
        layers.append([name, *(tables.cell(usual, key) for key in COLUMNS)])
    caption = (
        f"Raw phase, voxels of {scenarios[0].voxel_size:g} mm: median nrmse in the whole mask [%]. The last "
        f"column is the distance of preset {DEFAULT_PRESET} from the best chain [points]; the goal is at most "
        f"{CLOSE:g}."
    )
    return [
        caption,
        tables.markdown(["kind", *chains, "behind the best"], errors),
        f"Preset {DEFAULT_PRESET} by layers:",
        tables.markdown(["kind", *(tables.METRICS[key][0] for key in COLUMNS)], layers),
        LEFT_OUT,
        left_out(groups),
    ]


def left_out(groups: Mapping[str, Sequence[tables.Record]]) -> str:
    """Leave-one-subject-out over all kinds, with the kind in which the chain chosen is furthest behind."""
    rows = []
    for left in tables.leave_one_out(by_subject(tables.averaged(groups.values()))):
        behind = {}
        for kind, records in groups.items():
            here = {r["chain"]: r["whole"] for r in by_subject(records) if r["head"] == left.head}
            behind[kind] = here[left.chosen] - min(here.values())
        worst = max(behind, key=lambda kind: behind[kind])
        rows.append([
            f"subject {left.head}", left.chosen, f"{left.score:.1f}", left.best, f"{left.best_score:.1f}",
            f"{behind[worst]:.1f} ({worst})",
        ])  # fmt: skip
    if not rows:
        return "Needs two subjects or more."
    titles = [
        "left out", "best on the others", "its nrmse here [%]", "best here", "nrmse [%]", "most points behind",
    ]  # fmt: skip
    return tables.markdown(titles, rows)


def by_subject(records: Iterable[tables.Record]) -> list[dict[str, Any]]:
    """Records with the mean nrmse over the heads of a subject, whose number takes the place of the head's."""
    found: dict[tuple[str, int], list[float]] = {}
    for record in records:
        if record["status"] == "ok":
            subject = PEOPLE[record["head"]].labels
            found.setdefault((record["chain"], subject), []).append(float(record["whole"]))
    return [
        {"chain": chain, "head": subject, "status": "ok", "whole": statistics.fmean(values)}
        for (chain, subject), values in found.items()
    ]
