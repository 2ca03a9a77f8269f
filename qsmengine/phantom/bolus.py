"""A bolus of contrast agent in arteries, tissue and veins, mostly in closed form.

Concentrations are expressed as the change of R2* [1/s] that they cause, with one relaxivity for blood and
tissue. The first pass through arteries is a gamma variate with s = t - arrival::

    g(t) = peak (s / (a b))^a exp(a - s / b),   s > 0

Recirculating blood is the first pass, delayed and mixed: A = g + (share / T) g(t - gap) * exp(-t / T). Tissue
with the flow F [1/s] holds C = F A * R; R is the fraction of the agent that is still there after a time t.
With R = exp(-t / M), dispersion exp(-t / D) / D and recirculation, C is a sum of terms

    E(t; r) = int_0^t g(u) exp(-r (t - u)) du
            = peak (e / (a b))^a s^(a+1) / (a+1) exp(-r s) 1F1(a+1; a+2; (r - 1/b) s),

since exp(-r t) * exp(-q t) = (exp(-r t) - exp(-q t)) / (q - r). Gamma-distributed transit times
(R = Q(c, c t / M)) are convolved numerically. int R = M, so the area under C is F M times that under A,
whatever R is.

References: Ostergaard et al. 1996, 10.1002/mrm.1910360510; Calamante 2013, 10.1016/j.pnmrs.2013.04.002;
Mouridsen et al. 2014, 10.1038/jcbfm.2014.111 (gamma-distributed transit times).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsmengine.errors import UsageError
from qsmengine.grid import FloatArray

FINE_STEP = 0.01
"""Time step [s] of numerical convolutions and of tables of curves."""
APART = 1e-6
"""Relative difference by which equal rates are separated, so that a convolution is a sum of exponentials."""

Modes = tuple[tuple[float, float], ...]
"""Terms (weight, rate [1/s]) of a sum of decaying exponentials."""


@dataclass(frozen=True)
class Bolus:
    """Contrast agent in arterial blood.

    Parameters
    ----------
    arrival
        Time of arrival [s].
    peak
        Change of R2* of arterial blood at the peak of the first pass [1/s].
    shape, scale
        Of the gamma variate: a [1] and b [s].
    recirculation
        Area of the recirculating agent over that of the first pass [1].
    gap, mixing
        Delay of the recirculation and time constant T of its mixing [s].
    """

    arrival: float = 20.0
    peak: float = 80.0
    shape: float = 3.0
    scale: float = 1.5
    recirculation: float = 0.6
    gap: float = 10.0
    mixing: float = 30.0

    def __post_init__(self) -> None:
        if min(self.peak, self.shape, self.scale, self.mixing) <= 0 or min(self.recirculation, self.gap) < 0:
            raise UsageError(
                f"{self}: peak, shape, scale and mixing are positive, recirculation and gap not negative"
            )

    @property
    def first_pass_area(self) -> float:
        """Area under the first pass [1]: peak (e / a)^a b Gamma(a + 1)."""
        from scipy.special import gammaln

        a = self.shape
        return float(self.peak * self.scale * np.exp(a - a * np.log(a) + gammaln(a + 1.0)))

    @property
    def area(self) -> float:
        """Area under the whole curve [1]."""
        return self.first_pass_area * (1.0 + self.recirculation)

    def arterial(self, times: FloatArray, dispersion: float = 0.0) -> FloatArray:
        """Return A at `times` [s], dispersed by exp(-t / D) / D with D = `dispersion` [s]; [1/s]."""
        if dispersion > 0:
            return self._respond(times, ((1.0 / dispersion, 1.0 / dispersion),))
        recirculated = self._respond_once(times - self.gap, 1.0 / self.mixing)
        return self._first_pass(times) + self.recirculation / self.mixing * recirculated

    def tissue(
        self, times: FloatArray, mtt: float, *, transit_shape: float = 1.0, dispersion: float = 0.0
    ) -> FloatArray:
        """Return A * R at `times` [s] [1]; multiplied by the flow [1/s] it is the curve of the tissue.

        Parameters
        ----------
        times
            (n,) [s].
        mtt
            Mean transit time M [s].
        transit_shape
            Shape c of the gamma distribution of transit times; 1: R = exp(-t / M).
        dispersion
            Time constant D [s] of the dispersion between the artery that is measured and the tissue.
        """
        if transit_shape == 1.0:
            modes: Modes = ((1.0, 1.0 / mtt),)
            if dispersion > 0:
                modes = convolved(modes, (1.0 / dispersion, 1.0 / dispersion))
            return self._respond(times, modes)
        fine = np.arange(0.0, max(float(times.max()), FINE_STEP) + FINE_STEP, FINE_STEP)
        residue = residue_function(fine, mtt, transit_shape)
        return np.interp(times, fine, _convolve(self.arterial(fine, dispersion), residue), left=0.0)

    def leaked(self, times: FloatArray, back_rate: float = 0.0) -> FloatArray:
        """Return int A(u) exp(-kep (t - u)) du [1]; multiplied by Ktrans [1/s] it is what has leaked out.

        `back_rate` is kep [1/s]; 0: nothing flows back.
        """
        return self._respond(times, ((1.0, back_rate),))

    def venous(self, times: FloatArray, delay: float, mtt: float) -> FloatArray:
        """Return A after `delay` and exponentially distributed transit times of mean `mtt` [s]; [1/s]."""
        return self._respond(times - delay, ((1.0 / mtt, 1.0 / mtt),))

    def _respond(self, times: FloatArray, modes: Modes) -> FloatArray:
        """Return A convolved with a sum of exponentials."""
        found = np.zeros(np.shape(times))
        for weight, rate in modes:
            found += weight * self._respond_once(times, rate)
        if self.recirculation > 0:
            mixed = convolved(modes, (self.recirculation / self.mixing, 1.0 / self.mixing))
            for weight, rate in mixed:
                found += weight * self._respond_once(times - self.gap, rate)
        return found

    def _first_pass(self, times: FloatArray) -> FloatArray:
        s = np.maximum(times - self.arrival, 0.0) / (self.shape * self.scale)
        return np.asarray(self.peak * (s * np.exp(1.0 - s)) ** self.shape)

    def _respond_once(self, times: FloatArray, rate: float) -> FloatArray:
        """Return E(t; rate) [1]; with the confluent hypergeometric function of negative arguments only."""
        from scipy.special import hyp1f1

        a, b = self.shape, self.scale
        s = np.maximum(times - self.arrival, 0.0)
        excess = 1.0 / b - rate
        if excess >= 0:
            factor = np.exp(-rate * s) * hyp1f1(a + 1.0, a + 2.0, -excess * s)
        else:
            factor = np.exp(-s / b) * hyp1f1(1.0, a + 2.0, excess * s)
        return np.asarray(self.peak * np.exp(a) * (s / (a * b)) ** a * s / (a + 1.0) * factor)


def convolved(modes: Modes, other: tuple[float, float]) -> Modes:
    """Return the convolution of a sum of exponentials with one exponential (weight, rate), as a sum of both."""
    found: list[tuple[float, float]] = []
    weight, rate = other
    total = 0.0
    for one, r in modes:
        q = rate if abs(rate - r) > APART * rate else r * (1.0 + APART)
        share = one * weight / (q - r)
        found.append((share, r))
        if q == rate:
            total += share
        else:
            found.append((-share, q))
    return (*found, (-total, rate))


def residue_function(times: FloatArray, mtt: float, transit_shape: float = 1.0) -> FloatArray:
    """Return the fraction R of the agent in the tissue at `times` [s], for gamma-distributed transit times.

    R = Q(c, c t / M), the regularised upper incomplete gamma function; c = 1 is exp(-t / M), a large c a box.
    """
    from scipy.special import gammaincc

    return np.asarray(gammaincc(transit_shape, transit_shape * times / mtt))


def _convolve(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the causal convolution by the trapezoidal rule on a grid of FINE_STEP."""
    from scipy.signal import fftconvolve

    ends = 0.5 * (first * second[0] + first[0] * second)
    return np.asarray((fftconvolve(first, second)[: len(first)] - ends) * FINE_STEP)
