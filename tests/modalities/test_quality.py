"""Ranges, lights, reasons and tables of quality measures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.cli.main import main
from qsmengine.cohort.outputs.quality_tables import write_quality_table
from qsmengine.errors import InputError
from qsmengine.modalities.dsc import quality as dsc
from qsmengine.modalities.dsc.run import run_dsc
from qsmengine.modalities.gre import quality as gre
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.modalities.quality import (
    Measure,
    Range,
    evaluate,
    judge,
    quality_dictionary,
    quality_notes,
    quality_table,
)
from qsmengine.modalities.registry import all_modalities
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.report.quality import find_quality, worst_light
from tests.made_sessions import make_ball, qsm_arguments, write_ball, write_dwi
from tests.modalities.dsc.making import brain

LOW = Measure("low", "low one", "ppb", "d", lambda e: e, Range(high=1.0), Range(high=2.0), "a cause")
HIGH = Measure("high", "high one", "1", "d", lambda e: -e, Range(-1.0), Range(-2.0), "another")
TEXT = Measure("text", "text", "", "d", lambda _: "=SUM(1)")
EVERY = [measure for modality in all_modalities() for measure in modality.measures]


@pytest.mark.parametrize(
    ("value", "light"), [(0.5, "green"), (1.0, "green"), (1.5, "amber"), (2.5, "red"), (None, None)]
)
def test_a_value_is_green_in_the_good_range_amber_in_the_usable_one_and_red_outside(value, light):
    assert LOW.light(value) == light
    assert HIGH.light(None if value is None else -value) == light
    assert bool(LOW.reason(value)) == (light in {"amber", "red"})


def test_the_worst_measure_decides_and_red_reasons_come_first():
    verdict = judge([LOW, HIGH, TEXT], {"low": 1.5, "high": -3.0, "text": "x"})
    assert verdict.light == "red"
    assert verdict.reasons == (
        "high one -3 (at least -2 expected): another",
        "low one 1.5 ppb (at most 1 expected): a cause",
    )
    assert judge([LOW, TEXT], {"low": None, "text": "x"}) == (None, ())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_missing(value):
    assert evaluate([LOW], value) == {"low": None}


def test_the_table_has_one_row_and_no_cell_is_a_formula():
    text = quality_table([LOW, HIGH, TEXT], evaluate([LOW, HIGH, TEXT], 1.5))
    (row,) = csv.DictReader(text.splitlines(), delimiter="\t")
    assert row["light"] == "amber"
    assert (row["low"], row["high"], row["text"]) == ("1.5", "-1.5", "'=SUM(1)")
    assert quality_dictionary([LOW, TEXT])["low"]["Green"] == "at most 1"


@pytest.mark.parametrize("measure", EVERY, ids=lambda m: m.name)
def test_every_measure_is_described_and_its_usable_range_includes_the_good_one(measure):
    assert measure.label
    assert measure.description
    if measure.good is None:
        assert measure.usable is None
        return
    assert measure.fault
    assert measure.source
    edges = [edge for edge in (measure.good.low, measure.good.high) if edge is not None]
    assert edges
    assert all(measure.usable is None or measure.usable.holds(edge) for edge in edges)


def test_the_documentation_gives_the_ranges_of_every_measure():
    text = (Path(__file__).parents[2] / "docs" / "quality.md").read_text()
    for measure in EVERY:
        assert f"`{measure.name}`" in text
        if measure.good is not None:
            cells = (measure.unit, measure.good, measure.usable or "", measure.fault)
            row = " | ".join([f"`{measure.name}`", *map(str, cells)])
            assert row in text


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with one gradient-echo and one diffusion session."""
    folder = tmp_path_factory.mktemp("quality")
    files = write_ball(folder / "in" / "sub-01" / "anat", make_ball(1, shape=(24, 22, 20)))
    assert main(qsm_arguments(files, folder / "out", "--quiet")) == 0
    dwi, _ = write_dwi(folder / "in" / "sub-01" / "dwi", 1, shape=(14, 13, 12))
    prefix = folder / "out" / "sub-01" / "dwi" / "sub-01"
    arguments = [
        "dti",
        "--dwi",
        str(dwi),
        "--out",
        str(prefix),
        "--names",
        "bids",
        "--quiet",
        "--device",
        "cpu",
    ]
    assert main(arguments) == 0
    return folder / "out"


def test_single_commands_write_measures_with_their_dictionary(results):
    found = find_quality(results)
    assert [(one.session, one.step) for one in found] == [("sub-01", "qsm"), ("sub-01", "dti")]
    for one in found:
        columns = json.loads(one.path.with_suffix(".json").read_text())
        (row,) = csv.DictReader(one.path.read_text().splitlines(), delimiter="\t")
        assert list(row) == list(columns)
        assert row["light"] == (one.verdict.light or "n/a")
        assert float(row["mask_volume"]) > 0
    assert found[0].values["reference_region"] == "mask"
    assert found[1].values["fa_median"] is not None
    assert worst_light(found) in {"green", "amber", "red"}


def test_quality_collects_all_sessions_in_one_table(results, capsys):
    assert main(["quality", str(results)]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1].endswith("desc-quality_metrics.tsv")
    path, found = write_quality_table(results)
    rows = list(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))
    assert [(row["participant_id"], row["session_id"], row["step"]) for row in rows] == [
        ("sub-01", "n/a", "qsm"),
        ("sub-01", "n/a", "dti"),
    ]
    assert rows[0]["fa_median"] == "n/a"
    assert float(rows[0]["chi_sd"]) == pytest.approx(found[0].values["chi_sd"], rel=1e-4)
    assert set(json.loads(path.with_suffix(".json").read_text())) == set(rows[0])
    for one in found:
        for reason in one.verdict.reasons:
            assert reason in shown


def test_a_folder_without_measures_is_refused(tmp_path):
    with pytest.raises(InputError, match="desc-quality"):
        write_quality_table(tmp_path)


def about(values):
    """Values within the rounding of another device."""
    return {n: pytest.approx(v, rel=0.02, abs=0.1) if isinstance(v, float) else v for n, v in values.items()}


def test_measures_of_echoes_do_not_depend_on_the_device(device):
    ball, config = make_ball(2, shape=(24, 22, 20)), load_config(settings=["inversion=tkd"])
    found, expected = (
        evaluate(gre.MEASURES, gre.GreEvidence(run, gre.within(ball.series, run)))
        for run in (run_qsm(ball.series, config, on, mask=ball.mask) for on in (device, cpu(2)))
    )
    assert found == about(expected)


def test_measures_of_a_bolus_do_not_depend_on_the_device(device):
    made, config = brain(np.random.default_rng(7)), load_config(settings=["deconvolution=csvd", "leakage=none"])
    found, expected = (
        evaluate(
            dsc.MEASURES,
            dsc.DscEvidence(
                run_dsc(made.series, config, on, mask=made.mask, aif_mask=made.artery), made.series
            ),
        )
        for on in (device, cpu(2))
    )
    assert found == about(expected)


def test_each_measure_that_is_not_green_becomes_a_note():
    measures = (
        Measure("snr", "SNR", "1", "signal over noise", lambda _: None, Range(low=20), Range(low=10), "noise"),
        Measure("rim", "rim", "ppb", "rim", lambda _: None, Range(high=5), fault="background"),
    )
    assert quality_notes(measures, {"snr": 30.0, "rim": 1.0}) == []
    assert quality_notes(measures, {"snr": 15.0, "rim": 9.0}) == [
        "quality: rim 9 ppb (at most 5 expected): background",
        "quality: SNR 15 (at least 20 expected): noise",
    ]
