"""Total generalised variation with a harmonic field: the step in k-space, and slopes that are kept."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.device import to_numpy
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.tgv import TGV_ADJOINT
from qsmengine.backend.signatures.tgv_harmonic import TGV_HARMONIC_KSPACE_STEP
from qsmengine.ops.dipole import dipole_response
from qsmengine.ops.gradient import difference_spectra
from qsmengine.solvers.stopping import Stopping
from qsmengine.solvers.tgv_harmonic import (
    solve_tgv_harmonic,
)
from qsmengine.solvers.tgv_split import TgvPenalties
from qsmengine.solvers.tv_admm import TvProblem
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
    diagonal = [ahead(w[a], a) for a in range(3)]
    mixed = [0.5 * (ahead(w[b], a) + ahead(w[a], b)) for a, b in PAIRS]
    return np.stack([*first, *diagonal, *mixed])


def adjoint(q, mu1, mu0, device):
    x, v = device.empty(SHAPE), device.empty((3, *SHAPE))
    scaled = np.concatenate([q[3:6], np.sqrt(2) * q[6:]])
    launch(
        TGV_ADJOINT, device, r=device.asarray(q[:3]), s=device.asarray(scaled), x=x, v=v, mu1=mu1, mu0=mu0,
        **INVERSE,
    )  # fmt: skip
    return [to_numpy(array).astype(float) for array in (x, *v)]


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

    slopes = np.stack(w)
    best = value(x, slopes, h)
    for scale in (1e-3, 1e-1):
        for _ in range(5):
            steps = scale * rng.standard_normal(SHAPE), scale * rng.standard_normal((3, *SHAPE))
            assert value(x + steps[0], slopes + steps[1], h + scale * rng.standard_normal(SHAPE)) > best * (
                1 - 1e-6
            )
    for dx, dw, dh in ((0.01, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 0.01)):
        up, down = (
            value(x * (1 + sign * dx), slopes * (1 + sign * dw), h * (1 + sign * dh)) for sign in (1, -1)
        )
        assert abs(up - down) <= 1e-3 * (up + down - 2 * best) + 1e-6 * best


def test_slopes_are_kept_where_total_variation_makes_steps(device, rng):
    shape = (24, 16, 16)
    truth = np.abs(np.linspace(-1, 1, 24, endpoint=False))[:, None, None] * np.ones(shape)
    truth -= truth.mean()
    data = device.asarray(truth + 0.1 * rng.standard_normal(shape))
    ones, identity = device.asarray(np.ones(shape)), device.asarray(np.ones((24, 16, 9)))
    penalties = TgvPenalties(0.5, 0.5, 1.0)
    errors = {}
    for length in (2.0, 1e4):
        problem = TvProblem(identity, data, ones, (1.0, 1.0, 1.0), 0.1)
        found = solve_tgv_harmonic(
            problem, 0.1 * length, HarmonicTerm(ones, 1e3), device, Stopping(150, 0.0),
            penalties=penalties, mu_harmonic=3.0,
        )  # fmt: skip
        errors[length] = np.std(to_numpy(found) - truth)
    assert errors[2.0] < 0.7 * errors[1e4]
    assert errors[1e4] < 0.1
