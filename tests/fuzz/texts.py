"""Targets that read text: YAML, settings, tables, label tables, filters, statistics of other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from qsmengine.cli.bids.arguments import memory_bytes
from qsmengine.cli.options import parsers
from qsmengine.cohort.ledger.places import Places
from qsmengine.cohort.ledger.records import read_record
from qsmengine.cohort.select.filters import read_filter
from qsmengine.errors import QsmengineError
from qsmengine.grid import Grid
from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.sessions.qsm_ci import flat_parameters, nested, read_params
from qsmengine.stats.analysis.cohort_table import cohort_table
from qsmengine.stats.analysis.description import load_analysis
from qsmengine.stats.analysis.design import load_design
from qsmengine.stats.derivatives.collect import read_cohort
from qsmengine.stats.labels.tables import load_label_table
from qsmengine.stats.regions.volumes import add_sienax, read_aseg, read_sienax, read_synthseg
from tests.fuzz.choices import Choices
from tests.fuzz.mutations import damaged_json, damaged_text, damaged_tree
from tests.fuzz.seeds import (
    ANALYSIS,
    ASEG,
    CONFIG,
    DESIGN,
    FILTER,
    FILTER_KEYS,
    LABEL_TABLES,
    LABEL_WORDS,
    OPTIONS,
    PARAMS,
    PEOPLE,
    RECORD,
    SETTINGS,
    SIENAX,
    STATS,
    SYNTHSEG,
    YAML_WORDS,
)
from tests.fuzz.target import Target


def _damaged_yaml(choices: Choices, tree: Any) -> bytes:
    text = yaml.safe_dump(damaged_tree(choices, tree), allow_unicode=True)
    return damaged_text(choices, text, YAML_WORDS)


def make_yaml(choices: Choices, folder: Path) -> None:
    for name, tree in (("config", CONFIG), ("analysis", ANALYSIS), ("design", DESIGN)):
        (folder / f"{name}.yaml").write_bytes(_damaged_yaml(choices, tree))


def read_all_yaml(folder: Path) -> object:
    accepted: list[object] = []
    for name, read in (("config", load_config), ("analysis", load_analysis), ("design", load_design)):
        accepted += _accepted(read, folder / f"{name}.yaml")
    return accepted


def make_settings(choices: Choices, folder: Path) -> None:
    pairs = [choices.pick(SETTINGS) for _ in range(1 + choices.below(3))]
    texts = [damaged_text(choices, pair, YAML_WORDS).decode("utf-8", "replace") for pair in pairs]
    option = damaged_text(choices, choices.pick(OPTIONS), ("-", "1-999999", "K")).decode("utf-8", "replace")
    (folder / "settings.json").write_text(json.dumps([*texts, option]))


def read_settings(folder: Path) -> object:
    *settings, option = json.loads((folder / "settings.json").read_text())
    accepted = _accepted(lambda texts: load_config(settings=texts), settings)
    for parse in (
        parsers.parse_ranges,
        parsers.parse_bytes,
        lambda text, name: parsers.parse_numbers([text], name),
    ):
        accepted += _accepted(parse, option, "--option")
    accepted += _accepted(lambda text: parsers.parse_pairs([text], "--option"), option)
    return [*accepted, *_accepted(memory_bytes, option)]


def make_labels(choices: Choices, folder: Path) -> None:
    (folder / "labels.txt").write_bytes(damaged_text(choices, choices.pick(LABEL_TABLES), LABEL_WORDS))


def read_labels(folder: Path) -> object:
    table = load_label_table(folder / "labels.txt")
    return table, table.select(table.labels[0].group) if table.labels[0].group else None


def make_filter(choices: Choices, folder: Path) -> None:
    (folder / "filter.json").write_bytes(damaged_json(choices, FILTER, FILTER_KEYS))


def read_filters(folder: Path) -> object:
    found = read_filter(folder / "filter.json")
    names = (
        "sub-1_acq-fine_run-1_echo-1_part-mag_MEGRE.nii.gz",
        "sub-1_dir-AP_dwi.nii",
        "sub-1_run-01_T2starw.nii.gz",
    )
    return [found.keeps(BidsFile(f"sub-1/anat/{n}", BidsName.parse(n), "anat")) for n in names]


def make_volumes(choices: Choices, folder: Path) -> None:
    words = (
        "Measure",
        "ColHeaders",
        "SegId",
        "NVoxels",
        "Volume_mm3",
        "VSCALING",
        "10",
        "left thalamus",
        "1e308",
        "0.0",
    )
    for name, text in (("aseg.stats", ASEG), ("vol.csv", SYNTHSEG), ("report.sienax", SIENAX)):
        (folder / name).write_bytes(damaged_text(choices, text, words))


def read_volumes(folder: Path) -> object:
    tables = [*_accepted(read_aseg, folder / "aseg.stats"), *_accepted(read_synthseg, folder / "vol.csv")]
    reports = _accepted(read_sienax, folder / "report.sienax")
    joined = [
        add_sienax(table, report)
        for table in tables
        for report in reports
        if not isinstance(table, str) and not isinstance(report, str)
    ]
    return [*tables, *reports, *joined]


def make_tables(choices: Choices, folder: Path) -> None:
    words = ("participant_id", "sub-1", "1", "89+", "'=1+1", "0x10", "1_000", "1e308", "True", "2026-01-01")
    (folder / "participants.tsv").write_bytes(damaged_text(choices, PEOPLE, words))
    for number in (1, 2, 3):
        place = folder / f"sub-{number}"
        place.mkdir()
        stem = place / f"sub-{number}_desc-dgm_stats"
        stem.with_suffix(".tsv").write_bytes(
            damaged_text(choices, STATS, words) if choices.below(2) else STATS.encode()
        )
        stem.with_suffix(".json").write_bytes(damaged_json(choices, {"chi_mean": {"Units": "ppm"}}))
    (folder / "analysis.yaml").write_text(yaml.safe_dump(ANALYSIS))


def read_tables(folder: Path) -> object:
    result = cohort_table(load_analysis(folder / "analysis.yaml"), read_cohort(folder))
    return result.table, result.units, result.unread


def make_params(choices: Choices, folder: Path) -> None:
    (folder / "params.json").write_bytes(damaged_json(choices, PARAMS, ("TE", "B0", "voxel_size", "extra")))
    parameters = {"threshold": 0.2, "inversion.lambda": 1e-3, "background": {"radius": 5}, "unwrap": "romeo"}
    (folder / "config.json").write_bytes(
        damaged_json(choices, parameters, ("inversion", "inversion.method", "background.", "."))
    )


def read_parameters(folder: Path) -> object:
    from qsmengine.io.sidecars import read_json

    def configured(path: Path) -> object:
        named = {"inversion": {"method": "tkd"}}
        return load_config(overrides=nested(flat_parameters(read_json(path), named)))

    grid = Grid((4, 5, 6), np.diag([2.0, 2.0, 2.0, 1.0]))
    accepted = _accepted(lambda path: read_params(path, grid, needs_echoes=True), folder / "params.json")
    return [*accepted, *_accepted(configured, folder / "config.json")]


def make_record(choices: Choices, folder: Path) -> None:
    path = Places(folder).record("sub-1")
    path.parent.mkdir(parents=True)
    path.write_bytes(damaged_json(choices, RECORD, ("reason", "state", "fingerprint", "notes")))


def read_ledger(folder: Path) -> object:
    return read_record(folder, "sub-1")


def _accepted(read: Any, *given: Any) -> list[Any]:
    """What a reader returned, or the text of its error where it refused."""
    try:
        return [read(*given)]
    except QsmengineError as error:
        return [str(error)]


TARGETS = (
    Target("yaml", make_yaml, read_all_yaml),
    Target("settings", make_settings, read_settings),
    Target("labels", make_labels, read_labels),
    Target("filters", make_filter, read_filters),
    Target("volumes", make_volumes, read_volumes),
    Target("tables", make_tables, read_tables),
    Target("params", make_params, read_parameters),
    Target("ledger", make_record, read_ledger),
)
