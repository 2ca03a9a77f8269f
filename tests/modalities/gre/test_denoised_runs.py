"""Denoising as the first step of a run: where it stands, what it changes, when it leaves data alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from qsmengine.api.denoising import denoise
from qsmengine.backend.device import cpu
from qsmengine.cli.main import main
from qsmengine.data import DwiSeries
from qsmengine.errors import UsageError
from qsmengine.grid import Grid
from qsmengine.io.nifti import read_image
from qsmengine.modalities.dwi.run import run_dti
from qsmengine.modalities.dwi.session import DtiRequest, run_dti_session
from qsmengine.modalities.dwi.stages import plan_dti
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.modalities.gre.stages import plan_qsm
from qsmengine.pipeline.configuration.config import load_config
from tests.made_sessions import R2STAR, make_ball, qsm_arguments, write_ball, write_dwi

GRID = Grid.from_voxel_size((20, 30, 40), (1.0, 1.0, 1.0), field_strength=3.0)
QUICK = ("inversion=tkd", "background=vsharp", "background.max_radius=6")
DENOISED = ("denoise=complex-mnlm", "denoise.search_radius=2")


def noisy_ball(sigma):
    """A ball whose signal of 1000 has noise of `sigma` per channel, and that ball without it."""
    ball = make_ball(1)
    rng = np.random.default_rng(2)
    signal = ball.series.magnitude * np.exp(1j * ball.series.phase)
    signal = signal + sigma * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
    series = dataclasses.replace(
        ball.series, magnitude=abs(signal).astype("f4"), phase=np.angle(signal).astype("f4")
    )
    return dataclasses.replace(ball, series=series)


@pytest.fixture(scope="module")
def ball():
    return noisy_ball(40.0)


def run(ball, *settings, mask=True):
    config = load_config(settings=[*QUICK, *settings])
    return run_qsm(ball.series, config, cpu(), mask=ball.mask if mask else None)


def test_denoising_is_off_unless_named_and_comes_first_where_it_is():
    assert "denoise" not in [s.section for s in plan_qsm(load_config(), GRID, 3).steps]
    plan = plan_qsm(load_config(settings=["denoise=complex-mnlm"]), GRID, 3)
    assert [s.section for s in plan.steps][:2] == ["denoise", "mask"]
    assert set(plan.steps[0].inputs) == {"magnitude", "phase"}
    masked = plan_qsm(load_config(settings=["denoise=complex-mnlm"]), GRID, 3, has_mask=True)
    assert masked.steps[0].inputs["mask"] == "brain_mask"


def test_relaxation_and_field_lose_noise(ball):
    plain, filtered = run(ball), run(ball, *DENOISED)
    inside = plain.mask & filtered.mask
    for name, truth in (("r2star", R2STAR), ("total_field", ball.total_field)):
        before, after = (np.std((r[name] - truth)[inside]) for r in (plain, filtered))
        assert after < 0.65 * before, name
    assert filtered["r2star"][inside].mean() == pytest.approx(R2STAR, rel=0.03)


def test_without_a_mask_the_whole_image_is_filtered_and_the_mask_found(ball):
    result = run(ball, *DENOISED, mask=False)
    found = result["brain_mask"]
    assert 2 * (found & ball.mask).sum() / (found.sum() + ball.mask.sum()) > 0.85


@pytest.mark.parametrize(("sigma", "filters"), [(40.0, True), (4.0, False)])
def test_auto_filters_noisy_data_alone_and_tells_the_snr(sigma, filters):
    ball = noisy_ball(sigma)
    plain, chosen = run(ball), run(ball, "denoise=auto", "denoise.search_radius=2")
    expected = np.median(ball.series.magnitude[ball.mask][:, 0]) / np.hypot(sigma, 2.0)
    assert chosen.facts["snr"] == pytest.approx(expected, rel=0.1)
    same = all(np.array_equal(plain[name], chosen[name]) for name in ("total_field", "r2star", "chi"))
    assert same != filters


def test_method_of_components_does_not_fit_a_qsm_run():
    with pytest.raises(UsageError, match="denoise: mppca needs components"):
        plan_qsm(load_config(settings=["denoise=mppca"]), GRID, 3)


def test_method_of_gradient_echoes_is_left_out_of_a_tensor_run_with_a_note():
    plan = plan_dti(load_config(settings=["denoise=auto"]), GRID, 10)
    assert [s.section for s in plan.steps] == ["diffusion"]
    assert plan.notes == ("denoise left out: auto is for gradient echoes",)


@pytest.mark.parametrize("method", ["mppca", "mnlm"])
def test_tensors_of_a_denoised_series_are_nearer_to_the_truth(method):
    rng = np.random.default_rng(5)
    shape, sigma = (10, 10, 10), 25.0
    vectors = rng.normal(size=(30, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    values = np.r_[0.0, 0.0, np.full(28, 1000.0)]
    fibre = np.where(np.arange(10)[:, None, None, None] < 5, np.array([1.0, 0, 0]), np.array([0, 0.8, 0.6]))
    fibre = np.broadcast_to(fibre, (*shape, 3))
    clean = 500 * np.exp(-values * (3e-4 + 1.2e-3 * (fibre @ vectors.T) ** 2))
    noisy = np.abs(clean + rng.normal(0, sigma, clean.shape)).astype("f4")
    vectors[:2] = 0
    series = DwiSeries(noisy, values, vectors, Grid.from_voxel_size(shape, (2.0, 2.0, 2.0)))
    exact = 1.2e-3 / np.sqrt(1.5e-3**2 + 2 * 3e-4**2)
    errors = []
    for settings in ([], [f"denoise={method}"]):
        maps = run_dti(series, load_config(settings=settings), cpu())
        errors.append(np.abs(maps["fa"] - exact).mean())
    assert errors[1] < 0.6 * errors[0]
    if method == "mppca":
        assert maps["noise_map"].mean() == pytest.approx(sigma, rel=0.1)


def test_tensor_command_denoises_and_writes_the_noise(tmp_path, capsys):
    path, _ = write_dwi(tmp_path)
    out = tmp_path / "out" / "dti"
    assert main(["dti", "--dwi", str(path), "--out", str(out), "--denoise", "mppca", "--no-check"]) == 0
    noise = read_image(f"{out}_noise.nii.gz").array
    assert np.isfinite(noise).all()
    assert noise.any()


def test_qsm_command_takes_the_section(tmp_path, ball):
    files = write_ball(tmp_path / "in", ball)
    settings = ["--set", "denoise=auto", "--set", "denoise.search_radius=1", "--dry-run"]
    assert main(qsm_arguments(files, tmp_path / "out", *settings)) == 0


def test_python_function_runs_mppca_which_finds_the_noise_itself():
    rng = np.random.default_rng(3)
    clean = np.full((8, 8, 8, 12), 100.0)
    noisy = (clean + rng.normal(size=clean.shape)).astype("f4")
    filtered = denoise(noisy, Grid.from_voxel_size((8, 8, 8), (1, 1, 1)), method="mppca")
    assert np.std(filtered - clean) < 0.5


def test_series_larger_than_memory_is_not_denoised_slab_by_slab(tmp_path):
    path, _ = write_dwi(tmp_path)
    config = load_config(settings=["denoise=mppca"])
    need = plan_dti(config, Grid.from_voxel_size((9, 8, 7), (2.0, 2.0, 2.0)), 13).memory
    request = DtiRequest(dwi=path, prefix=tmp_path / "out" / "dti", max_memory=need * 3 // 4)
    with pytest.raises(UsageError, match="denoise needs the whole series"):
        run_dti_session(request, config, cpu())
