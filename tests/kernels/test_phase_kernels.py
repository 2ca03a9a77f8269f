from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.phase import HERMITIAN_PRODUCT, OFFSET_PHASOR, SUBTRACT_OFFSET
from tests.stages.gre import DEVICE, wrapped

SIZES = [1, 7, 64, 1003]


def numbers(n, seed, count):
    rng = np.random.default_rng(seed)
    mask = rng.random(n) > 0.3
    return [rng.uniform(-np.pi, np.pi, n).astype(np.float32) for _ in range(count)], mask, rng


@pytest.mark.parametrize("n", SIZES)
def test_hermitian_product(n):
    (p1, p2), mask, rng = numbers(n, 1, 2)
    m1, m2 = (rng.uniform(0, 5e6, n).astype(np.float32) for _ in range(2))
    angle, magnitude = DEVICE.empty((n,)), DEVICE.empty((n,))
    launch(
        HERMITIAN_PRODUCT, DEVICE, phase1=p1, phase2=p2, magnitude1=m1, magnitude2=m2, mask=mask.view(np.uint8),
        angle=angle, magnitude=magnitude,
    )  # fmt: skip
    product = m1.astype(float) * np.exp(-1j * p1.astype(float)) * m2 * np.exp(1j * p2.astype(float))
    assert np.abs(wrapped(angle - np.angle(product))[mask]).max(initial=0) < 1e-6
    np.testing.assert_allclose(magnitude, np.where(mask, np.sqrt(np.abs(product)), 0), rtol=1e-6)
    assert (angle[~mask] == 0).all()


@pytest.mark.parametrize("n", SIZES)
def test_phasor_of_the_offset(n):
    (p1, difference), mask, _ = numbers(n, 2, 2)
    difference *= 5
    re, im = DEVICE.empty((n,)), DEVICE.empty((n,))
    launch(
        OFFSET_PHASOR,
        DEVICE,
        phase1=p1,
        difference=difference,
        mask=mask.view(np.uint8),
        re=re,
        im=im,
        ratio=0.7,
    )
    expected = np.where(mask, np.exp(1j * (p1.astype(float) - 0.7 * difference.astype(float))), 0)
    np.testing.assert_allclose(re + 1j * im, expected, atol=5e-6)


@pytest.mark.parametrize("n", SIZES)
def test_offset_is_subtracted_and_phase_wrapped(n):
    (phase, offset), mask, rng = numbers(n, 3, 2)
    length = rng.uniform(1e-3, 2, n)
    re, im = (length * np.cos(offset)).astype(np.float32), (length * np.sin(offset)).astype(np.float32)
    corrected = DEVICE.empty((n,))
    launch(SUBTRACT_OFFSET, DEVICE, phase=phase, re=re, im=im, mask=mask.view(np.uint8), corrected=corrected)
    difference = corrected.astype(float) - (phase.astype(float) - offset)
    assert np.abs(wrapped(difference)[mask]).max(initial=0) < 2e-6
    assert np.abs(corrected).max() <= np.pi + 1e-6
    assert (corrected[~mask] == 0).all()
