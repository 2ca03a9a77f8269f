"""Total generalised variation: adjoints, the step in k-space, and that the result is a minimum."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.backend.device import to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tgv_harmonic import (
    TGV_HARMONIC_ADJOINT,
    TGV_HARMONIC_DUAL_STEP,
    TGV_HARMONIC_KSPACE_STEP,
)
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.gradient import difference_spectra
from qsmengine.solvers.tgv_harmonic import (
    TgvPenalties,
    TgvProblem,
    solve_tgv_harmonic,
)
from qsmengine.solvers.tv_harmonic import HarmonicTerm

SHAPE, SPACING = (10, 8, 12), (1.0, 0.8, 2.0)
INVERSE = {f"h{axis}": 1 / h for axis, h in zip("xyz", SPACING, strict=True)}
PAIRS = ((0, 1), (0, 2), (1, 2))


def ahead(x, axis):
    return (np.roll(x, -1, axis) - x) / SPACING[axis]


def behind(x, axis):
    return (x - np.roll(x, 1, axis)) / SPACING[axis]


def operator(x, w):
    """grad x - w, then eps w: nine images."""
    first = [ahead(x, a) - w[a] for a in range(3)]
    diagonal = [behind(w[a], a) for a in range(3)]
    mixed = [0.5 * (ahead(w[b], a) + ahead(w[a], b)) for a, b in PAIRS]
    return np.stack([*first, *diagonal, *mixed])


def split(x, w, p, thresholds, device):
    arrays = {name: device.asarray(a) for name, a in zip(("x", "wx", "wy", "wz"), (x, *w), strict=True)}
    p, q = device.asarray(p), device.empty((9, *SHAPE))
    launch(TGV_HARMONIC_DUAL_STEP, device, p=p, q=q, t1=thresholds[0], t0=thresholds[1], **arrays, **INVERSE)
    return to_numpy(p), to_numpy(q)


def adjoint(q, mu1, mu0, device):
    g = {name: device.empty(SHAPE) for name in ("gx", "g1", "g2", "g3")}
    launch(TGV_HARMONIC_ADJOINT, device, q=device.asarray(q), mu1=mu1, mu0=mu0, **g, **INVERSE)
    return [to_numpy(array).astype(float) for array in g.values()]


def test_dual_step_cuts_the_operator_plus_the_multiplier(device, rng):
    x, w, p = rng.standard_normal(SHAPE), rng.standard_normal((3, *SHAPE)), rng.standard_normal((9, *SHAPE))
    v = operator(x, w) + p
    limits = np.array([0.7] * 3 + [0.4] * 6)[:, None, None, None]
    cut = np.clip(v, -limits, limits)
    found_p, found_q = split(x, w, p, (0.7, 0.4), device)
    assert np.abs(found_p - cut).max() <= 1e-5
    assert np.abs(found_q - (v - 2 * cut)).max() <= 1e-5


def test_adjoint_is_the_adjoint_with_mixed_parts_counted_twice(device, rng):
    x, w = rng.standard_normal(SHAPE), rng.standard_normal((3, *SHAPE))
    q = rng.standard_normal((9, *SHAPE))
    gx, *gw = adjoint(q, 0.3, 0.7, device)
    of_x, of_w = operator(x, 0 * w), operator(0 * x, w)
    counts = np.array([0.3] * 3 + [0.7] * 3 + [1.4] * 3)[:, None, None, None]
    assert (x * gx).sum() == pytest.approx((of_x[:3] * q[:3]).sum(), rel=1e-4)
    assert sum((a * b).sum() for a, b in zip(w, gw, strict=True)) == pytest.approx(
        (counts * of_w * q).sum(), rel=1e-4
    )


def test_kspace_step_solves_the_quadratic_problem(device, rng):
    mu = {"mu1": 0.3, "mu0": 0.7, "mu2": 0.9, "mu3": 1.3}
    response = dipole_response(SHAPE, SPACING, (0.0, 0.6, 0.8), device)
    q, d, c = rng.standard_normal((9, *SHAPE)), rng.standard_normal(SHAPE), rng.standard_normal(SHAPE)
    g = adjoint(q, mu["mu1"], mu["mu0"], device)
    names = ("gx", "g1", "g2", "g3", "data", "harmonic")
    spectra = {
        name: device.asarray(np.fft.rfftn(a), np.complex64) for name, a in zip(names, (*g, d, c), strict=True)
    }
    symbols = dict(zip(("ex", "ey", "ez"), difference_spectra(SHAPE, SPACING, device), strict=True))
    launch(TGV_HARMONIC_KSPACE_STEP, device, response=response, scale=1.0, **mu, **spectra, **symbols)
    x, *w, field, laplacian = (
        np.fft.irfftn(to_numpy(a).astype(complex), s=SHAPE, axes=(0, 1, 2)) for a in spectra.values()
    )
    ax = np.fft.irfftn(np.fft.rfftn(x) * to_numpy(response), s=SHAPE, axes=(0, 1, 2))
    h = field - ax
    assert np.abs(sum(behind(ahead(h, a), a) for a in range(3)) - laplacian).max() <= 1e-4

    def value(x, w, h):
        rest = operator(x, w) - q
        ax = np.fft.irfftn(np.fft.rfftn(x) * to_numpy(response), s=SHAPE, axes=(0, 1, 2))
        bend = sum(behind(ahead(h, a), a) for a in range(3)) - c
        twice = (rest[3:6] ** 2).sum() + 2 * (rest[6:] ** 2).sum()
        fits = mu["mu2"] * ((ax + h - d) ** 2).sum() + mu["mu3"] * (bend**2).sum()
        return 0.5 * (mu["mu1"] * (rest[:3] ** 2).sum() + mu["mu0"] * twice + fits)

    w = np.stack(w)
    best = value(x, w, h)
    for scale in (1e-3, 1e-1):
        for _ in range(5):
            steps = scale * rng.standard_normal(SHAPE), scale * rng.standard_normal((3, *SHAPE))
            assert value(x + steps[0], w + steps[1], h + scale * rng.standard_normal(SHAPE)) > best * (1 - 1e-6)
    for direction in ((0.01 * x, 0 * w, 0 * h), (0 * x, 0.01 * w, 0 * h), (0 * x, 0 * w, 0.01 * h)):
        up = value(x + direction[0], w + direction[1], h + direction[2])
        down = value(x - direction[0], w - direction[1], h - direction[2])
        assert abs(up - down) <= 1e-3 * (up + down - 2 * best) + 1e-6 * best


def test_slopes_are_kept_where_total_variation_makes_steps(device, rng):
    shape = (24, 16, 16)
    truth = np.abs(np.linspace(-1, 1, 24, endpoint=False))[:, None, None] * np.ones(shape)
    truth -= truth.mean()
    data = device.asarray(truth + 0.1 * rng.standard_normal(shape))
    ones, identity = device.asarray(np.ones(shape)), device.asarray(np.ones((24, 16, 9)))
    penalties = TgvPenalties(0.5, 0.5, 1.0, 3.0)
    errors = {}
    for length in (2.0, 1e4):
        problem = TgvProblem(identity, data, ones, (1.0, 1.0, 1.0), 0.1, 0.1 * length, HarmonicTerm(ones, 1e3))
        found = solve_tgv_harmonic(problem, penalties, device, iterations=150, tolerance=0.0)
        errors[length] = np.std(to_numpy(found) - truth)
    assert errors[2.0] < 0.7 * errors[1e4]
    assert errors[1e4] < 0.1
