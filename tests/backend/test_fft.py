"""Real FFTs against numpy.fft in double precision."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from qsmengine.backend.device import cpu, to_numpy
from qsmengine.backend.fft import RealFFT, fast_shape, fast_size, fft_library
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tv import TV_HARMONIC_KSPACE_STEP
from qsmengine.errors import InputError, OutOfMemoryError

SHAPES = [
    (8, 10, 12),
    (6, 14, 30),
    (16, 1, 4),
    (1, 1, 2),
    (9, 25, 98),
    (49, 3, 64),
    (7, 9, 5),
    (16, 1, 3),
    (6, 8, 15),
    (6, 11, 4),
]
"""All radices, lines that fill no vector, and sizes that SciPy transforms."""


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_inverse_equal_numpy(shape, device, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    fft = RealFFT(shape, device)
    spectrum = fft.forward(device.asarray(x))
    expected = np.fft.rfftn(x.astype(np.float64))
    assert np.abs(to_numpy(spectrum) - expected).max() <= 2e-6 * np.abs(expected).max()
    assert np.abs(to_numpy(fft.inverse(spectrum)) - x).max() <= 2e-6


def test_forward_keeps_its_input_and_unscaled_inverse_leaves_the_factor(device, rng):
    shape = (6, 8, 10)
    x = device.asarray(rng.standard_normal(shape))
    before = to_numpy(x).copy()
    fft = RealFFT(shape, device)
    spectrum = fft.forward(x)
    assert np.array_equal(to_numpy(x), before)
    unscaled = to_numpy(fft.inverse(spectrum, scaled=False))
    assert np.allclose(unscaled * fft.scale, before, atol=1e-5)


def test_one_plan_serves_many_arrays_and_unaligned_ones(device, rng):
    shape = (6, 8, 10)
    fft = RealFFT(shape, device)
    raw = rng.standard_normal(6 * 8 * 10 + 1).astype(np.float32)
    for x in (raw[:-1].reshape(shape), raw[1:].reshape(shape), np.asfortranarray(raw[1:].reshape(shape))):
        assert np.allclose(to_numpy(fft.forward(device.asarray(x))), np.fft.rfftn(x), atol=1e-4)


def test_filter_is_circular_convolution(device, rng):
    shape = (6, 8, 10)
    fft = RealFFT(shape, device)
    x = rng.standard_normal(shape).astype(np.float32)
    shifted = np.zeros(shape, np.float32)
    shifted[2, 0, 3] = 1.0
    response = fft.forward(device.asarray(shifted))
    result = to_numpy(fft.filter(device.asarray(x), response))
    assert np.allclose(result, np.roll(x, (2, 3), axis=(0, 2)), atol=1e-5)


@pytest.mark.parametrize("shape", [(20, 18, 16), (6, 11, 8), (34, 36, 40)])
def test_a_filter_is_a_product_of_spectra_and_keeps_its_input(shape, device, rng):
    x, fft = device.asarray(rng.standard_normal(shape)), RealFFT(shape, device)
    before = to_numpy(x).copy()
    response = device.asarray(rng.standard_normal(fft.spectrum_shape))
    expected = np.fft.irfftn(np.fft.rfftn(before.astype(float)) * to_numpy(response), s=shape, axes=(0, 1, 2))
    assert np.abs(to_numpy(fft.filter(x, response)) - expected).max() <= 5e-6 * np.abs(expected).max()
    assert np.array_equal(to_numpy(x), before)


@pytest.mark.parametrize("shape", [(20, 18, 16), (6, 11, 8), (34, 36, 40)])
def test_a_kernel_between_transforms_gives_what_it_gives_after_them(shape, device, rng):
    fft = RealFFT(shape, device)
    names = ("gradient", "data", "harmonic")
    images = {name: device.asarray(rng.standard_normal(shape)) for name in names}
    values = {"response": device.asarray(rng.uniform(-0.6, 0.3, fft.spectrum_shape)), "relax": 0.7}
    values |= {
        name: device.asarray(rng.uniform(0, 4, n))
        for name, n in zip(("ex", "ey", "ez"), fft.spectrum_shape, strict=True)
    }
    values |= {"mu1": 0.005, "mu2": 0.1, "mu3": 1.0, "pull": 0.2, "scale": fft.scale}
    spectra = {name: fft.forward(image) for name, image in images.items()}
    launch(TV_HARMONIC_KSPACE_STEP, device, **spectra, **values)
    expected = {name: to_numpy(fft.inverse(spectrum, scaled=False)) for name, spectrum in spectra.items()}
    results = images | {"gradient": device.empty(shape)}
    work = {name: device.empty(fft.spectrum_shape, np.complex64) for name in names}
    fft.through(
        TV_HARMONIC_KSPACE_STEP, {name: (images[name], work[name], results[name]) for name in names}, **values
    )
    for name in names:
        error = np.abs(to_numpy(results[name]) - expected[name]).max()
        assert error <= 1e-5 * np.abs(expected[name]).max()


@pytest.mark.parametrize("shape", [(4, 6, 8), (5, 4, 7)])
def test_the_mean_counts_bins_as_the_whole_spectrum_does(shape, device, rng):
    whole = np.fft.fftn(rng.standard_normal(shape)).real
    half = device.asarray(whole[..., : shape[2] // 2 + 1])
    assert RealFFT(shape, device).mean(half) == pytest.approx(whole.mean(), rel=1e-4, abs=1e-5)


def test_wrong_shape_is_an_error_before_anything_runs(device):
    with pytest.raises(InputError, match=r"planned for \(4, 4, 4\) got an array of shape \(4, 4, 5\)"):
        RealFFT((4, 4, 4), device).forward(device.zeros((4, 4, 5)))


def test_same_input_gives_the_same_bytes(device, rng):
    x = device.asarray(rng.standard_normal((20, 18, 16)))
    first = to_numpy(RealFFT((20, 18, 16), device).forward(x)).tobytes()
    assert to_numpy(RealFFT((20, 18, 16), device).forward(x)).tobytes() == first


@pytest.mark.parametrize("n", [1, 2, 7, 11, 97, 121, 250, 257, 499])
def test_fast_sizes_are_even_seven_smooth_and_minimal(n):
    def smooth(m):
        for p in (2, 3, 5, 7):
            while m % p == 0:
                m //= p
        return m == 1

    size = fast_size(n)
    assert size >= n
    assert size % 2 == 0
    assert smooth(size)
    assert not any(smooth(m) for m in range(max(n, 2), size) if m % 2 == 0)


@pytest.mark.parametrize("shape", [(163, 233, 198), (256, 256, 160), (8, 8, 8), (128, 128, 64), (64, 512, 254)])
def test_fast_shapes_hold_the_box_without_aliasing_planes(shape):
    fast = fast_shape(shape)
    assert all(f >= n for f, n in zip(fast, shape, strict=True))
    assert fast[1] * (fast[2] // 2 + 1) % 128 != 0
    assert np.prod(fast) <= 1.35 * np.prod(shape)
    assert fast_shape(shape[::-1]) == fast[::-1]


def test_the_library_is_named(device):
    assert fft_library(device) == ("qsmengine" if device.kind == "cpu" else "cufft")


@pytest.mark.parametrize("shape", [(34, 36, 40), (20, 49, 48)])
def test_threads_do_not_change_a_bit(shape, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    spectra = [RealFFT(shape, cpu(threads)).forward(x) for threads in (1, 2, 5)]
    images = [RealFFT(shape, cpu(threads)).inverse(spectra[0].copy()) for threads in (1, 2, 5)]
    for first, second in itertools.pairwise([s.tobytes() for s in spectra]):
        assert first == second
    for first, second in itertools.pairwise([x.tobytes() for x in images]):
        assert first == second


@pytest.mark.parametrize("size", [64, 90, 105, 128, 147, 150, 162, 196, 210, 256])
def test_the_error_of_a_line_is_that_of_rounding(size, rng):
    x = rng.standard_normal((size, 3, 2 * size)).astype(np.float32)
    expected = np.fft.rfftn(x.astype(np.float64))
    spectrum = RealFFT(x.shape, cpu(1)).forward(x)
    assert np.linalg.norm(spectrum - expected) <= 4e-7 * np.linalg.norm(expected)


def test_imaginary_parts_that_no_real_image_has_are_ignored(device, rng):
    shape = (1, 1, 12)
    spectrum = np.fft.rfft(rng.standard_normal(shape)).astype(np.complex64)
    expected = np.fft.irfft(spectrum, n=12)
    spectrum[..., [0, -1]] += np.complex64(3j)
    assert np.allclose(
        to_numpy(RealFFT(shape, device).inverse(device.asarray(spectrum, np.complex64))), expected, atol=1e-6
    )


@pytest.mark.parametrize("odd", [False, True])
def test_a_transform_on_a_gpu_writes_into_the_output_and_allocates_nothing(gpu, rng, odd):
    shape = (6, 8, 9 if odd else 10)
    fft = RealFFT(shape, gpu)
    x = gpu.asarray(rng.standard_normal(shape))
    spectrum, back = gpu.empty(fft.spectrum_shape, np.complex64), gpu.empty(shape)
    pool = gpu.xp.get_default_memory_pool()
    before = pool.used_bytes(), pool.total_bytes()
    with gpu.xp.cuda.using_allocator(_refuse):
        assert fft.forward(x, spectrum) is spectrum
        assert fft.inverse(spectrum, back, scaled=False) is back
    assert (pool.used_bytes(), pool.total_bytes()) == before
    assert np.allclose(to_numpy(back) * fft.scale, to_numpy(x), atol=1e-5)


def _refuse(size):
    raise AssertionError(f"{size} bytes were allocated")


def test_the_plans_of_both_directions_share_one_work_area_which_goes_with_them(gpu):
    shape = (24, 26, 28)
    pool = gpu.xp.get_default_memory_pool()
    before = pool.used_bytes()
    fft = RealFFT(shape, gpu)
    engine: Any = fft._engine
    areas = [plan.work_area.mem.size for plan in (engine._forward, engine._inverse)]
    assert 0 < pool.used_bytes() - before <= max(areas) + 512
    del fft, engine
    assert pool.used_bytes() == before


def test_real_numbers_that_begin_at_an_odd_one_are_transformed(gpu, rng):
    shape = (4, 6, 8)
    raw = gpu.asarray(rng.standard_normal(4 * 6 * 8 + 1))
    x, fft = raw[1:].reshape(shape), RealFFT(shape, gpu)
    expected = to_numpy(x).copy()
    spectrum = fft.forward(x)
    assert np.allclose(to_numpy(spectrum), np.fft.rfftn(expected), atol=1e-4)
    assert fft.inverse(spectrum, x) is x
    assert np.allclose(to_numpy(x), expected, atol=1e-5)


def test_work_areas_beyond_the_memory_are_the_engine_s_out_of_memory(gpu, monkeypatch):
    from cupy.cuda import cufft

    def plan(*arguments):
        raise cufft.CuFFTError(result)

    monkeypatch.setattr(cufft, "PlanNd", plan)
    result = 2
    with pytest.raises(OutOfMemoryError, match=r"an FFT of \(4, 6, 8\) on cuda:0"):
        RealFFT((4, 6, 8), gpu)
    result = 8
    with pytest.raises(cufft.CuFFTError, match="CUFFT_INVALID_SIZE"):
        RealFFT((4, 6, 8), gpu)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 6, 8), np.complex64), ((4, 6, 5), np.complex128), ((4, 5, 6), np.complex64)]
)
def test_an_output_that_does_not_fit_is_an_error_before_anything_runs(device, shape, dtype):
    fft = RealFFT((4, 6, 8), device)
    out = device.zeros(shape, dtype)
    with pytest.raises(InputError, match=r"FFT writes complex64 of shape \(4, 6, 5\), C-contiguous"):
        fft.forward(device.zeros((4, 6, 8)), out if shape != (4, 5, 6) else out.swapaxes(1, 2))
    with pytest.raises(InputError, match=r"FFT writes float32 of shape \(4, 6, 8\)"):
        fft.inverse(device.zeros((4, 6, 5), np.complex64), device.zeros((4, 6, 7)))
