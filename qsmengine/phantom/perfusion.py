"""Perfusion of a virtual head on a chosen grid: blood flow by transit time, vessels, delay, leakage.

Blood volume and flow are per 100 g of tissue. The curve of the agent in tissue is C = F A * R with
F = (rho / kH) CBF / 6000 [1/s], kH = 0.73 the ratio of plasma fractions in large and small vessels, and rho the
density of tissue. A voxel's flow is the mean over its tissues weighted by m0; each keeps its own transit time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
import yaml

from qsmengine.errors import UsageError
from qsmengine.phantom.labels import HeadIndex
from qsmengine.phantom.resample import FloatImage, Resampler
from qsmengine.phantom.tissue import TEXTURE_LATTICE, smooth_noise

PLASMA_RATIO = 0.73
"""kH = (1 - 0.45) / (1 - 0.25), from the haematocrit of large and small vessels."""
DENSITY = 1.04
"""Density of brain tissue [g/mL]."""
DRAWN_VEIN = 901
"""Label of the veins that :mod:`qsmengine.phantom.features` draws."""


@dataclass(frozen=True)
class Perfusion:
    """Perfusion of one tissue: `cbv` [mL/100 g], `mtt` [s], `r1` [1/s]; ``perfusion.yaml`` gives sources."""

    cbv: float
    mtt: float
    r1: float

    @property
    def flow(self) -> float:
        """F [1/s]: blood volume of the voxel, as the agent shows it, per transit time."""
        return DENSITY / PLASMA_RATIO * self.cbv / (100.0 * self.mtt) if self.cbv else 0.0


@dataclass(frozen=True)
class Leakage:
    """Agent that leaks out of vessels.

    Parameters
    ----------
    ktrans, back_rate
        Transfer constant and kep [1/s]; 0: nothing flows back.
    t1, t2star
        Change of R1 and of R2* [1/s] per unit of leaked agent, in units of its effect inside vessels [1].
    """

    ktrans: float = 0.002
    back_rate: float = 0.0
    t1: float = 0.0
    t2star: float = 0.0


@dataclass(frozen=True)
class PerfusionMaps:
    """Perfusion on the target grid.

    Parameters
    ----------
    flows
        Mean transit time [s] -> flow F of the tissues that have it (x, y, z) [1/s].
    r1
        (x, y, z) [1/s] without agent.
    artery, vein
        (x, y, z) fraction of vessel [1].
    delay
        (x, y, z) arrival after that in the arteries [s].
    leaks
        Fraction of leaking tissue (x, y, z) [1] and its leakage.
    """

    flows: Mapping[float, FloatImage]
    r1: FloatImage
    artery: FloatImage
    vein: FloatImage
    delay: FloatImage
    leaks: tuple[tuple[FloatImage, Leakage], ...] = ()

    @property
    def cbf(self) -> FloatImage:
        """Blood flow of the tissue (x, y, z) [mL/100 g/min]."""
        return self._total(60.0, dict.fromkeys(self.flows, 1.0))

    @property
    def cbv(self) -> FloatImage:
        """Blood volume of the tissue without large vessels (x, y, z) [mL/100 g]."""
        return self._total(1.0, {mtt: mtt for mtt in self.flows})

    def _total(self, unit: float, weights: Mapping[float, float]) -> FloatImage:
        """Return 100 unit kH / rho sum weight F (x, y, z)."""
        found = np.zeros(self.r1.shape, np.float32)
        for mtt, flow in self.flows.items():
            found += np.float32(100.0 * unit * PLASMA_RATIO / DENSITY * weights[mtt]) * flow
        return found

    @property
    def mtt(self) -> FloatImage:
        """Mean transit time 60 CBV / CBF (x, y, z) [s]; 0 without flow."""
        cbf = self.cbf
        found: FloatImage = np.zeros_like(cbf)
        np.divide(np.float32(60) * self.cbv, cbf, out=found, where=cbf > 0)
        return found


@cache
def perfusion_table() -> dict[str, Perfusion]:
    """Return the perfusion of tissue classes by name."""
    text = (resources.files("qsmengine.phantom") / "perfusion.yaml").read_text(encoding="utf-8")
    return {
        name: Perfusion(**{key: float(value) for key, value in row.items()})
        for name, row in yaml.safe_load(text)["tissues"].items()
    }


def perfusion_maps(
    head: HeadIndex,
    m0: FloatImage,
    resampler: Resampler,
    *,
    artery: FloatImage,
    rng: np.random.Generator,
    shares: Mapping[int, FloatImage] | None = None,
    regions: Mapping[str, Perfusion] | None = None,
    texture: float = 0.0,
    delay: tuple[float, float] = (0.0, 0.0),
    leakage: Mapping[int, Leakage] | None = None,
) -> PerfusionMaps:
    """Return the perfusion of `head` on the resampler's target.

    Parameters
    ----------
    head, m0
        Labels, and proton density (x, y, z) [1] on their grid.
    resampler
        From the label grid to the target.
    artery
        (x, y, z) fraction of drawn artery on the label grid; arteries among the labels are added.
    rng
        Source of the texture.
    shares
        Fractions of drawn features on the label grid, by label.
    regions
        Name of a region -> its perfusion, instead of that of its tissue.
    texture
        Relative standard deviation of blood volume and flow; they vary together.
    delay
        Delay at the front and at the back of the brain [s], linear in between.
    leakage
        Label -> leakage of its tissue.

    Raises
    ------
    UsageError
        For leakage of a label that the head does not have.
    """
    weight = resampler.average(m0)

    def mean(values: npt.ArrayLike) -> FloatImage:
        """Return the mean of values per region, weighted by m0."""
        total = resampler.average(head.lookup(values) * m0)
        return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)

    table, own = perfusion_table(), regions or {}
    rows = [own.get(region.name, table[region.tissue]) for region in head.regions]
    vary = np.float32(1)
    if texture > 0:
        spacing = max(1.0, TEXTURE_LATTICE / min(resampler.voxel_size))
        vary = np.maximum(
            1 + np.float32(texture) * smooth_noise(resampler.shape, rng, spacing), np.float32(0.2)
        )
    flows = {
        mtt: vary * mean([row.flow if row.mtt == mtt else 0.0 for row in rows])
        for mtt in sorted({row.mtt for row in rows if row.cbv > 0})
    }
    vessels = [
        np.maximum(extra, head.lookup([region.tissue == kind for region in head.regions]))
        for kind, extra in (("artery", artery), ("vein", (shares or {}).get(DRAWN_VEIN, np.float32(0))))
    ]
    shown = [resampler.average(image) for image in vessels]
    leaks = []
    for label, one in (leakage or {}).items():
        chosen = [region.label == label for region in head.regions]
        if not head.lookup(chosen, bool).any():
            raise UsageError(f"leakage: the head has no voxel with label {label}")
        leaks.append((mean(chosen), one))
    return PerfusionMaps(
        flows=flows,
        r1=mean([row.r1 for row in rows]),
        artery=shown[0],
        vein=np.minimum(shown[1], 1 - shown[0]),
        delay=_delay(resampler.average(head.lookup([r.brain for r in head.regions])) > 0.5, delay),
        leaks=tuple(leaks),
    )


def _delay(brain: npt.NDArray[np.bool_], ends: tuple[float, float]) -> FloatImage:
    """Return a delay (x, y, z) [s] that changes linearly from the front of the brain to its back."""
    rows = np.flatnonzero(brain.any(axis=(0, 2)))
    back = np.interp(np.arange(brain.shape[1]), [rows[0], rows[-1]], [ends[1], ends[0]])
    return np.broadcast_to(back.astype(np.float32)[None, :, None], brain.shape)
