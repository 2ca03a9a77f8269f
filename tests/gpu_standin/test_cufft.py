"""Transforms of the stand-in equal SciPy's, and its plans refuse what cuFFT would run past."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft

SHAPE = (6, 7, 10)


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize("axes", [None, (0, 1), (1, 2)])
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_transforms_equal_those_of_scipy(axes: Any, norm: Any, cupy: Any, image: np.ndarray) -> None:
    from cupyx.scipy import fft

    spectrum = scipy.fft.rfftn(image, axes=axes, norm=norm)
    np.testing.assert_allclose(fft.rfftn(cupy.asarray(image), axes=axes, norm=norm).get(), spectrum, atol=1e-4)
    sizes = tuple(SHAPE[a] for a in axes or (0, 1, 2))
    back = fft.irfftn(cupy.asarray(spectrum), s=sizes, axes=axes, norm=norm)
    np.testing.assert_allclose(back.get(), image, atol=1e-5)
    whole = fft.ifftn(fft.fftn(cupy.asarray(spectrum), axes=axes, norm=norm), axes=axes, norm=norm)
    np.testing.assert_allclose(whole.get(), spectrum, atol=1e-4)


@pytest.mark.parametrize("name", ["dctn", "dstn"])
def test_cosine_and_sine_transforms_equal_those_of_scipy(name: str, cupy: Any, image: np.ndarray) -> None:
    from cupyx.scipy import fft

    coefficients = getattr(fft, name)(cupy.asarray(image))
    np.testing.assert_allclose(coefficients.get(), getattr(scipy.fft, name)(image), atol=1e-3)
    assert not coefficients.flags.c_contiguous
    np.testing.assert_allclose(getattr(fft, f"i{name}")(coefficients).get(), image, atol=1e-5)


def test_plans_write_into_given_arrays_and_destroy_the_spectrum(cupy: Any, image: np.ndarray) -> None:
    from cupy.cuda import cufft
    from cupyx.scipy.fft import get_fft_plan

    x, spectrum = cupy.asarray(image), cupy.empty((6, 7, 6), np.complex64)
    get_fft_plan(x, value_type="R2C").fft(x, spectrum, cufft.CUFFT_FORWARD)
    np.testing.assert_allclose(spectrum.get(), scipy.fft.rfftn(image), atol=1e-4)
    plan = get_fft_plan(spectrum, shape=SHAPE, value_type="C2R")
    plan.fft(spectrum, x, cufft.CUFFT_INVERSE)
    np.testing.assert_allclose(x.get() / image.size, image, atol=1e-5)
    assert np.isnan(spectrum.get()).all()


def test_plans_refuse_arrays_they_would_run_past(cupy: Any, image: np.ndarray) -> None:
    from cupy.cuda import cufft
    from cupyx.scipy.fft import get_fft_plan

    x = cupy.asarray(image)
    plan = get_fft_plan(x, value_type="R2C")
    with pytest.raises(AssertionError, match="reaches element 251 of an array of 210"):
        plan.fft(x, cupy.empty((6, 7, 5), np.complex64), cufft.CUFFT_FORWARD)
    with pytest.raises(TypeError, match="f->F"):
        plan.fft(x, cupy.empty((6, 7, 6), np.complex128), cufft.CUFFT_FORWARD)


def test_rows_of_an_embedded_image_are_transformed_in_place(cupy: Any, image: np.ndarray) -> None:
    from cupy.cuda import cufft

    plan = cufft.PlanNd(SHAPE, (6, 7, 12), 1, 0, (6, 7, 6), 1, 0, cufft.CUFFT_R2C, 1, "C", 2, 6)
    buffer = cupy.zeros((6, 7, 12), np.float32)
    buffer[..., :10] = cupy.asarray(image)
    plan.fft(buffer, buffer.view(np.complex64), cufft.CUFFT_FORWARD)
    np.testing.assert_allclose(buffer.view(np.complex64).get(), scipy.fft.rfftn(image), atol=1e-4)
