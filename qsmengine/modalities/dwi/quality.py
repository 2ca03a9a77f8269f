"""Quality measures of a diffusion fit."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qsmengine.backend.device import to_numpy
from qsmengine.data import DwiSeries
from qsmengine.modalities.quality import Measure, Range
from qsmengine.ops.order_statistics import median
from qsmengine.pipeline.run.results import RunResult
from qsmengine.records import record
from qsmengine.stages.diffusion.direction_check import EXPLAINED, DirectionCheck
from qsmengine.stages.diffusion.gradient_check import MARGIN, GradientCheck

if TYPE_CHECKING:
    from qsmengine.modalities.dwi.account import Account

PARAMETERS = 7
"""Number of parameters of a tensor with its signal at b = 0."""
NORMAL = 1.4826
"""Standard deviation of normal values over their median absolute deviation."""


@record
class DwiEvidence:
    """Result of a fit, its series (None: in slabs), checks of the table (None: unmade), account of volumes."""

    result: RunResult
    series: DwiSeries | None
    check: GradientCheck | None
    directions: DirectionCheck | None
    account: Account

    @cached_property
    def fitted(self) -> npt.NDArray[np.bool_]:
        """Voxels of the mask with a fit."""
        return np.asarray((to_numpy(self.result["brain_mask"]) > 0) & (to_numpy(self.result["status"]) > 0))

    def median(self, name: str) -> float | None:
        """Return the median of a map over the fitted voxels."""
        if name not in self.result.maps or not self.fitted.any():
            return None
        return median(to_numpy(self.result[name])[self.fitted])


def snr(evidence: DwiEvidence) -> float | None:
    """Return the median SNR at b = 0, with the noise from the difference of the first two such volumes."""
    series = evidence.series
    volumes = [] if series is None else np.flatnonzero(series.b0_volumes)[:2].tolist()
    if series is None or len(volumes) < 2 or not evidence.fitted.any():
        return None
    first, second = (to_numpy(series.signal[..., k])[evidence.fitted].astype(np.float64) for k in volumes)
    apart = second - first
    noise = NORMAL * float(np.median(np.abs(apart - np.median(apart)))) / np.sqrt(2.0)
    return float(np.median(first + second)) / 2 / noise if noise > 0 else None


def lost_slices(evidence: DwiEvidence) -> float | None:
    """Return the share [%] of judged slices that lost signal."""
    judged = int(evidence.account.judged.sum())
    return 100.0 * float(evidence.account.lost.sum()) / judged if judged else None


def worst_volume(evidence: DwiEvidence) -> float | None:
    """Return the largest residual of a volume over the median of volumes of the same b-value."""
    return _largest(evidence.account.relative_residual)


def translation(evidence: DwiEvidence) -> float | None:
    """Return the largest translation [mm] of a volume from the median image of its shell."""
    return _largest(evidence.account.shifts)


def _largest(values: npt.NDArray[np.float64]) -> float | None:
    return float(np.nanmax(values)) if np.isfinite(values).any() else None


def residual(evidence: DwiEvidence) -> float | None:
    """Return the median residual [%] of the log signal per degree of freedom."""
    squares = evidence.median("sse")
    volumes = 0 if evidence.series is None else len(evidence.series.b_values)
    return (
        100.0 * float(np.sqrt(squares / (volumes - PARAMETERS))) if squares and volumes > PARAMETERS else None
    )


def axis_ratio(evidence: DwiEvidence) -> float | None:
    """Return the coherence of fibres with the best gradient table over that with the given one."""
    check = evidence.check
    return None if check is None or not check.decidable else check.ratio


def best_table(evidence: DwiEvidence) -> str | None:
    """Return the change of the gradient table that fits the image best."""
    check = evidence.check
    return None if check is None or not check.decidable else str(check.best)


def directions_explained(evidence: DwiEvidence) -> float | None:
    """Return the share [%] of the dependence on direction shared by neighbours that tensors explain."""
    check = evidence.directions
    return None if check is None or not check.decidable else 100.0 * check.explained


def volume(evidence: DwiEvidence) -> float:
    """Return the volume [mL] of the mask."""
    voxel = float(np.prod(evidence.result.grid.voxel_size)) / 1000.0
    return float(np.count_nonzero(to_numpy(evidence.result["brain_mask"]))) * voxel


MEASURES = (
    Measure(
        "snr_b0",
        "SNR at b = 0",
        "1",
        "Median signal over noise at b = 0, with the noise from the difference of two volumes; n/a with one",
        snr,
        Range(20),
        Range(10),
        "low signal, or motion between the volumes",
    ),
    Measure(
        "lost_slices",
        "slices with signal loss",
        "%",
        "Share of the slices of all volumes whose signal is more than four standard deviations and 10 % below "
        "the fitted one, relative to the two slices on either side",
        lost_slices,
        Range(high=1),
        Range(high=5),
        "motion during diffusion encoding; desc-volumes_dti.tsv names the volumes for --exclude-volumes",
    ),
    Measure(
        "worst_volume",
        "residual of the worst volume",
        "1",
        "Largest median residual of a volume over the median of volumes of about the same b-value; n/a with "
        "fewer than three",
        worst_volume,
        Range(high=1.5),
        Range(high=2.5),
        "motion, eddy currents or an artefact in a volume; desc-volumes_dti.tsv names it",
    ),
    Measure(
        "translation",
        "motion",
        "mm",
        "Largest translation of a volume from the median image of its shell, by phase correlation",
        translation,
        Range(high=1),
        Range(high=4),
        "motion or eddy currents; qsmengine preproc aligns the volumes",
    ),
    Measure(
        "axis_ratio",
        "gradient table",
        "1",
        "Coherence of neighbouring fibres with the best flip or permutation of the gradient table over that "
        "with the given table; n/a where the image does not decide between tables",
        axis_ratio,
        Range(high=MARGIN),
        None,
        "axes of the gradient table are swapped or flipped, or motion",
    ),
    Measure(
        "best_table", "best gradient table", "", "Change of the table with the most coherent fibres", best_table
    ),
    Measure(
        "directions_explained",
        "directions",
        "%",
        "Share of the dependence on direction that neighbouring voxels have in common which a tensor explains; "
        "n/a without enough directions or fibres, and for fits in slabs",
        directions_explained,
        Range(100 * EXPLAINED),
        Range(30),
        "table and volumes in different orders, or motion",
    ),
    Measure(
        "residual",
        "residual of the fit",
        "%",
        "Median over voxels of the residual of the log signal, per degree of freedom of a tensor",
        residual,
    ),
    Measure("fa_median", "median FA", "1", "Median fractional anisotropy", lambda e: e.median("fa")),
    Measure("md_median", "median MD", "mm^2/s", "Median mean diffusivity", lambda e: e.median("md")),
    Measure("mask_volume", "volume of the mask", "mL", "Volume of the fitted mask", volume),
)
"""Quality measures of diffusion maps."""
