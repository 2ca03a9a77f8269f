"""The study from raw signals: a virtual head per participant, reconstructed and measured by qsmengine.

Each finished participant is a file in ``subjects/``, from which an interrupted run continues. The truth of a
region is the mean of the true map over the same voxels; true susceptibility is relative to the mean over the
brain, as in the reconstruction. The bias is therefore that of the reconstruction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from qsmengine.api.reconstruct import fit_tensor, reconstruct_qsm
from qsmengine.backend.device import Device, to_numpy
from qsmengine.backend.sources import sources_hash
from qsmengine.data import Array
from qsmengine.phantom.tissue import tissue_table
from qsmengine.stats.tables import write_table
from qsmengine.studies.pontillo2019.bias import BIAS, FLOW, MEASURED, bias_table, described
from qsmengine.studies.pontillo2019.cells import Fitted, compare_cells
from qsmengine.studies.pontillo2019.cohort import draw_cohort
from qsmengine.studies.pontillo2019.models import fit_study
from qsmengine.studies.pontillo2019.page import PAGE_OUTPUTS, write_page
from qsmengine.studies.pontillo2019.participants import OnParticipant, each_participant
from qsmengine.studies.pontillo2019.published import STRUCTURES
from qsmengine.studies.pontillo2019.raw_head import RawParticipant, control_mean, native_counts, raw_participant
from qsmengine.studies.pontillo2019.raw_perfusion import RawPerfusion, measured_perfusion
from qsmengine.studies.pontillo2019.reproduce import write_cells
from qsmengine.version import __version__

OUTPUTS = ("bias.tsv", "measured.tsv")
WHOLE_OUTPUTS = ("cells.tsv", "recovery.tsv", "unadjusted.tsv", *PAGE_OUTPUTS)
"""Further outputs of the whole cohort."""
_SUMMARY = (
    "Pontillo et al. 2019, doi:10.3174/ajnr.A5915, from raw signals: 118 virtual heads at {voxel_size:g} mm "
    "(seed {seed}, SNR {snr:g}), gradient echoes, diffusion volumes and bolus series reconstructed by "
    "qsmengine {engine}, measured in the structures; lesion load and clinical variables as drawn. A p value "
    "agrees if it lies on the same side of 0.05 with the same sign; other values agree if the printed one "
    "lies in their 95 % confidence interval."
)


class RawSettings(BaseModel):
    """Settings that determine signals and maps; `engine` is the version of qsmengine and its kernels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0)
    voxel_size: float = Field(default=2.0, ge=1.0, le=4.0, description="[mm]")
    snr: float = Field(default=100.0, gt=0)
    engine: str = Field(default_factory=lambda: f"{__version__} {sources_hash()}")


@dataclass(frozen=True)
class RawReproduction:
    """Bias of every metric; for the whole cohort also every printed cell as a line of text."""

    bias: pd.DataFrame
    cells: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return bias and printed cells as lines of text."""
        found = [
            f"{row['metric']:<18} truth {row['truth']:9.4g}  measured {row['measured']:9.4g}  "
            f"bias {row['bias']:+9.3g}  r {row['r']:6.3f}  [{row['unit']}]"
            for row in self.bias.to_dict("records")
        ]
        return [*found, *self.cells]


def reproduce_raw(
    out: str | Path,
    settings: RawSettings,
    *,
    per_group: int | None = None,
    device: Device | str = "cpu",
    workers: int = 1,
    on_participant: OnParticipant | None = None,
) -> RawReproduction:
    """Simulate, reconstruct and measure the cohort; write `OUTPUTS`, for the whole cohort also `WHOLE_OUTPUTS`.

    Parameters
    ----------
    out
        Output folder; participants in its ``subjects/`` with the same settings are reused.
    settings
        Seed, voxel size, noise.
    per_group
        Number of participants from each of HC, RRMS and PMS; None: all, as the models need.
    device
        Device of the reconstruction.
    workers
        Number of processes, each with one participant at a time and the threads of `device`; up to 1: this one.
    on_participant
        Called with (number done, total, whether reused).

    Raises
    ------
    DeviceError
        If a process died; the next call continues.
    """
    folder = Path(out)
    drawn = draw_cohort(settings.seed)
    if per_group is not None:
        drawn = drawn.groupby("group", sort=False).head(per_group).reset_index(drop=True)
    made = each_participant(
        drawn, settings, folder, partial(_measure, settings=settings, device=device), workers=workers,
        on_participant=on_participant,
    )  # fmt: skip
    truth, measured = (
        drawn.assign(**{n: [_value(p[kind].get(n)) for p in made] for n in (*MEASURED, *FLOW)})
        for kind in ("truth", "measured")
    )
    bias = bias_table(truth, measured)
    write_table(bias, folder / "bias.tsv", BIAS)
    if per_group is not None:
        write_table(measured, folder / "measured.tsv", described(measured))
        return RawReproduction(bias)
    return RawReproduction(bias, whole_cohort(folder, measured, _SUMMARY.format(**settings.model_dump())))


def whole_cohort(folder: Path, measured: pd.DataFrame, summary: str) -> tuple[str, ...]:
    """Fit the models of the paper to all participants, write `WHOLE_OUTPUTS`, and return every cell as text."""
    fitted = Fitted.of(*fit_study(measured))
    cohort = fitted.cohort.drop(columns="session_id")
    write_table(cohort, folder / "measured.tsv", described(cohort))
    made = write_cells(folder, [compare_cells(fitted)])
    write_page(folder, "measured.tsv", summary)
    return tuple(made.lines())


def _measure(
    row: Mapping[str, Any], number: int, settings: RawSettings, device: Device | str
) -> dict[str, dict[str, float | None]]:
    """Reconstruct one participant; return regional truth and measurement in the units of the paper."""
    person = raw_participant(
        {str(k): float(v) for k, v in row.items() if k in MEASURED},
        voxel_size=settings.voxel_size, snr=settings.snr, seed=settings.seed * 1000 + number,
    )  # fmt: skip
    gre = person.gre
    qsm = reconstruct_qsm(gre.magnitude, gre.phase, gre.echo_times, gre.grid, mask=person.mask, device=device)
    maps = {"chi": to_numpy(qsm.chi)}
    if person.dwi is not None:
        dwi = person.dwi
        tensor = fit_tensor(
            dwi.signal, dwi.b_values, dwi.b_vectors, dwi.grid, mask=person.mask, method="wls", device=device
        )
        maps |= {"MD": to_numpy(tensor["md"]) * np.float32(1e3), "FA": to_numpy(tensor["fa"])}
    inside = to_numpy(qsm["local_mask"]) > 0
    chi = person.truth["chi"] - person.truth["chi"][inside].mean(dtype=np.float64)
    found = {
        "truth": regional(person, {**person.truth, "chi": chi})
        | regional(person.perfusion, person.perfusion.truth),
        "measured": regional(person, maps)
        | regional(person.perfusion, measured_perfusion(person.perfusion, device)),
    }
    counts = {s: float((person.labels == i).sum()) for i, s in enumerate(STRUCTURES, start=1)}
    native = native_counts(settings.voxel_size)
    for s in STRUCTURES:
        found["truth"][f"volume_{s}"] = person.volumes[s] * control_mean(f"volume_{s}")
        found["measured"][f"volume_{s}"] = counts[s] / native[s] * control_mean(f"volume_{s}")
    return found


def regional(person: RawParticipant | RawPerfusion, maps: Mapping[str, Array]) -> dict[str, float | None]:
    """Return means over the structures, chi on the scale of the paper; None if no voxel is finite."""
    found: dict[str, float | None] = {}
    for metric, array in maps.items():
        for number, structure in enumerate(STRUCTURES, start=1):
            values = array[(person.labels == number) & person.mask]
            values = values[np.isfinite(values)]
            if not values.size:
                found[f"{metric}_{structure}"] = None
                continue
            mean = float(values.mean(dtype=np.float64))
            if metric == "chi":
                mean = control_mean(f"chi_{structure}") + 1e3 * (mean - tissue_table()[structure].chi)
            found[f"{metric}_{structure}"] = mean
    return found


def _value(value: float | None) -> float:
    return math.nan if value is None else value
