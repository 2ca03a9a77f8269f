"""Section of the document on the kinds of head."""

from __future__ import annotations

from bench.accuracy import tables
from bench.accuracy.records import Study
from bench.accuracy.scoring import LAYERS
from qsmengine.pipeline.configuration.config import DEFAULT_PRESET

CLOSE = 1.0
"""A default is as good as the best chain if it is within this many points of nrmse [%]."""
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
        "Leave one head out, mean nrmse over all kinds:",
        tables.left_out_table(tables.averaged(groups.values())),
    ]
