"""The denoising benchmark: scores of series whose error is known, and its files."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from bench.denoising import command as denoising
from bench.denoising.figures import write_figures
from qsmengine.phantom.head import virtual_head


@pytest.fixture(scope="module")
def truth():
    head = virtual_head(voxel_size=(6.0, 6.0, 6.0), echo_times=(0.0074, 0.0221))
    return denoising.Truth(head, head.gre)


def test_scores_are_those_of_the_error_put_in(truth):
    size = truth.clean.magnitude
    error = 0.02 * float(size[truth.head.mask].max())
    turned = np.angle(np.exp(1j * (truth.clean.phase + 0.3))).astype("f4")
    series = dataclasses.replace(truth.clean, magnitude=size + np.float32(error), phase=turned)
    scores = denoising._signal_scores(truth, series)
    assert scores["psnr"] == pytest.approx(20 * np.log10(50), abs=0.01)
    assert scores["phase"] == pytest.approx(0.3, abs=1e-4)


def test_noise_has_the_snr_asked_for(truth):
    noisy = denoising._noisy(truth, 40.0, seed=3)
    white = np.isin(truth.head.labels, (2, 41)) & truth.head.mask
    clean, found = (s.magnitude * np.exp(1j * s.phase) for s in (truth.clean, noisy))
    sigma = np.std((found - clean).real[truth.head.mask])
    assert truth.clean.magnitude[..., 0][white].mean() / sigma == pytest.approx(40.0, rel=0.03)


def test_command_writes_a_row_for_each_variant(truth, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(denoising, "_truth", lambda *_: truth)
    target = tmp_path / "result.json"
    arguments = [
        "--signal-only",
        "--snr",
        "30",
        "--filter",
        "search_radius=1",
        "--filter",
        "lmmse_h=3",
        "--json",
        str(target),
        "--threads",
        "1",
    ]
    assert denoising.main(arguments) == 0
    report = json.loads(target.read_text())[0]
    rows = report["rows"]
    assert (report["filter"]["search_radius"], report["filter"]["lmmse_h"]) == (1, 3.0)
    assert [row["variant"] for row in rows] == list(denoising.VARIANTS)
    assert capsys.readouterr().out.count("| 30 |") == 3


def test_figures_are_written_with_the_same_bytes_each_time(truth, tmp_path):
    noisy = denoising._noisy(truth, 30.0, seed=3)
    for folder in ("a", "b"):
        write_figures(truth.clean, noisy, truth.clean, truth.head.mask, tmp_path / folder)
    for name in ("denoising-magnitude.png", "denoising-phase.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
