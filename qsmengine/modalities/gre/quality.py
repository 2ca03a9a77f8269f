"""Quality measures of a gradient-echo reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import to_numpy
from qsmengine.data import Array, GreSeries
from qsmengine.modalities.gre.residuals import phase_residuals
from qsmengine.modalities.gre.sign_check import deep_values, iron_contrast
from qsmengine.modalities.gre.streaks import streak_score
from qsmengine.modalities.quality import Measure, Range, Value, brain_volume, near_layers
from qsmengine.ops.order_statistics import median
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record
from qsmengine.units import rad_per_ppm

RIM = 3
"""Width of the rim [voxels]."""
LARGE = 1.0
"""Phase residual [rad] above which a voxel counts as not described by the field."""
PPB = 1e3


@record
class GreEvidence:
    """Result of a run and the series it came from, in the part of the grid that holds the brain.

    :func:`within` cuts out a series. Arrays are copied to the host when first used.
    """

    result: RunResult
    series: GreSeries

    def map(self, name: str) -> npt.NDArray[Any] | None:
        """Return a map (part of x, y, z), None if the run did not make it."""
        return to_numpy(self._maps[name]) if name in self.result.maps else None

    @cached_property
    def _maps(self) -> Mapping[str, Array]:
        return self.result.within_mask()

    @cached_property
    def brain(self) -> npt.NDArray[np.bool_]:
        """Mask of the field fit."""
        return np.asarray(to_numpy(self._maps["brain_mask"]) > 0)

    @cached_property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Voxels where chi is defined."""
        mask = self.map("local_mask")
        return self.brain if mask is None else mask > 0

    @cached_property
    def chi(self) -> npt.NDArray[np.float32] | None:
        """Susceptibility [ppm]."""
        return self.map("chi")

    @cached_property
    def noise(self) -> npt.NDArray[np.float32] | None:
        """Positive noise of the field [ppm] (voxel,) in the brain; other voxels are NaN."""
        noise = self.map("noise")
        if noise is None:
            return None
        values = noise[self.brain].astype(np.float32)
        return np.where(values > 0, values, np.float32(np.nan))

    def radians(self, seconds: float) -> float:
        """Return the phase [rad] of 1 ppm after a time [s]."""
        return rad_per_ppm(self.result.grid.required_field_strength, seconds)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel [mL]."""
        return float(np.prod(self.series.grid.voxel_size)) / 1000.0


def within(series: GreSeries, result: RunResult) -> GreSeries:
    """Return a series in the part of its grid that :meth:`RunResult.within_mask` covers."""
    part = result.mask_part
    magnitude, phase = series.magnitude[part], series.phase[part]
    return GreSeries(magnitude, phase, series.echo_times, series.grid.part(part))


def snr(evidence: GreEvidence) -> float | None:
    """Return the median SNR of the first echo in the brain, from the noise of the field.

    The field's noise is sigma / sqrt(sum_e M_e^2 TE_e^2) in [rad/s], so SNR = M_1 / sigma follows from it and
    the magnitudes M_e.
    """
    if evidence.noise is None:
        return None
    information = np.zeros(evidence.noise.shape, np.float32)
    for echo, time in reversed(list(enumerate(evidence.series.echo_times))):
        magnitude = to_numpy(evidence.series.magnitude[..., echo])[evidence.brain]
        information += np.square(magnitude * np.float32(evidence.radians(time)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _median(magnitude / (evidence.noise * np.sqrt(information)))


def _median(values: npt.NDArray[np.floating[Any]]) -> float:
    """Return the median of the finite values, NaN if there are none."""
    return median(values[np.isfinite(values)])


def field_noise(evidence: GreEvidence) -> float | None:
    """Return the median noise of the field [ppb]."""
    return None if evidence.noise is None else PPB * _median(evidence.noise)


def field_residual(evidence: GreEvidence) -> float | None:
    """Return the largest share [%] over pairs of echoes of voxels whose phase the field does not describe."""
    field = evidence.map("total_field")
    if field is None or evidence.series.n_echoes < 2:
        return None
    found = phase_residuals(evidence.series, field, evidence.brain)
    return 100.0 * max(np.count_nonzero(np.abs(one) > LARGE) / one.size for one in found)


def rim_ratio(evidence: GreEvidence) -> float | None:
    """Return the standard deviation of the local field in the rim of its mask over that of the interior."""
    field = evidence.map("local_field")
    if field is None:
        return None
    rim = near_layers(evidence.inside, RIM)
    interior = field[evidence.inside & ~rim]
    spread = float(interior.std(dtype=np.float64)) if interior.size else 0.0
    return float(field[rim].std(dtype=np.float64)) / spread if spread > 0 else None


def streaks(evidence: GreEvidence) -> float | None:
    """Return :func:`qsmengine.modalities.gre.streaks.streak_score` of chi."""
    return None if evidence.chi is None else streak_score(evidence.chi, evidence.inside, evidence.series.grid)


def iron(evidence: GreEvidence) -> float | None:
    """Return :func:`qsmengine.modalities.gre.sign_check.iron_contrast` [ppb]."""
    contrast = iron_contrast(evidence.result)
    return None if contrast is None else PPB * contrast


def correlation(evidence: GreEvidence) -> float | None:
    """Return the correlation of chi and R2* deep in the brain."""
    pair = deep_values(evidence.result)
    if pair is None or not all(values.std() > 0 for values in pair):
        return None
    return float(np.corrcoef(*pair)[0, 1])


def spread(evidence: GreEvidence) -> float | None:
    """Return the standard deviation [ppb] of chi in its mask."""
    return None if evidence.chi is None else PPB * float(evidence.chi[evidence.inside].std(dtype=np.float64))


def volume(evidence: GreEvidence) -> float:
    """Return the volume [mL] of the brain mask."""
    return float(np.count_nonzero(evidence.brain)) * evidence.voxel_ml


def reliable(evidence: GreEvidence) -> float:
    """Return the share [%] of the brain mask where chi is defined."""
    return 100.0 * float(np.count_nonzero(evidence.inside)) / max(int(np.count_nonzero(evidence.brain)), 1)


def _solver(part: str) -> Any:
    """Return a function of the evidence: a field of the status of the solver that computed chi."""

    def found(evidence: GreEvidence) -> Value:
        for section in ("single_step", "inversion"):
            record = evidence.result.record(section)
            if record is not None and record.solver is not None:
                value = getattr(record.solver, part)
                return value if isinstance(value, str) or value is None else float(value)
        return None

    return found


def _reference(evidence: GreEvidence) -> str | None:
    record = evidence.result.record("reference")
    return None if record is None else str(getattr(record.step.params, "region", record.step.method.name))


def _reference_value(evidence: GreEvidence) -> float | None:
    value = evidence.result.facts.get("value")
    return None if value is None else PPB * float(value)


MEASURES = (
    Measure(
        "snr",
        "SNR of the first echo",
        "1",
        "Median of magnitude over noise in the brain",
        snr,
        Range(20),
        Range(10),
        "low signal, motion, or a mask that includes air",
    ),
    Measure(
        "field_noise",
        "noise of the field",
        "ppb",
        "Median standard deviation of the total field in the brain",
        field_noise,
    ),
    Measure(
        "field_residual",
        "phase that the field does not describe",
        "%",
        f"Share of the brain where the phase between two echoes differs by more than {LARGE:g} rad from "
        "that of the field; the largest of all pairs",
        field_residual,
        Range(high=2),
        Range(high=5),
        "wraps, motion, phase of different scaling in some echoes, or a mask that includes air",
    ),
    Measure(
        "rim_ratio",
        "rim of the local field",
        "1",
        f"Standard deviation of the local field within {RIM} voxels of its mask's rim over that of the rest",
        rim_ratio,
        Range(high=1.5),
        Range(high=2.5),
        "background field at the rim: a mask that is too large",
    ),
    Measure(
        "streak_score",
        "streaks of chi",
        "1",
        "Energy of the spectrum of chi near the cone of the dipole kernel over that away from it, "
        "geometric mean over shells of spatial frequency",
        streaks,
        Range(high=1.5),
        Range(high=2.5),
        "streaks: too little regularisation, wraps, or motion",
    ),
    Measure(
        "iron_contrast",
        "sign of chi",
        "ppb",
        "Mean chi of the 3 % of deep voxels with the highest R2* minus that of the others; n/a below three "
        "standard errors, or below the standard deviation of the others",
        iron,
        Range(0),
        None,
        "iron seems diamagnetic: the phase has the wrong sign (input.phase_sign=-1), or errors dominate",
        "iron and deoxygenated blood are paramagnetic",
    ),
    Measure(
        "chi_r2star_correlation",
        "correlation of chi and R2*",
        "1",
        "Pearson's r deep in the brain",
        correlation,
    ),
    Measure("chi_sd", "spread of chi", "ppb", "Standard deviation of chi in its mask", spread),
    brain_volume(volume),
    Measure(
        "reliable_share",
        "share of the mask with chi",
        "%",
        "Share of the brain mask where chi is defined",
        reliable,
        Range(60),
        Range(40),
        "unreliable phase, or a mask that includes air",
    ),
    Measure("solver_iterations", "iterations", "1", "Iterations of the solver of chi", _solver("iteration")),
    Measure("solver_residual", "residual", "1", "Last residual of the solver of chi", _solver("residual")),
    Measure("solver_stopped", "stopped by", "", "Reason why the solver of chi stopped", _solver("reason")),
    Measure("reference_region", "reference", "", "Region whose mean chi is 0", _reference),
    Measure(
        "reference_value", "value of the reference", "ppb", "Chi subtracted by the reference", _reference_value
    ),
)
"""Quality measures of susceptibility maps."""
