"""Part 3: a virtual head with known truth, in 1.5 mm voxels cut out of k-space, through every step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qsmengine.api.reconstruct import invert_dipole
from qsmengine.backend.device import Device, to_numpy
from qsmengine.cli.demo.compare import median_difference, relative_error
from qsmengine.cli.demo.summary import Summary
from qsmengine.cli.display.reporter import Reporter
from qsmengine.io.nifti import write_image
from qsmengine.modalities.dwi.run import run_dti
from qsmengine.modalities.gre.session import QsmRequest, run_qsm_session
from qsmengine.phantom import Scanner, VirtualHead, virtual_head, write_bids
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.pipeline.run.results import RunResult
from qsmengine.report.agreement import agreement
from qsmengine.report.figures import overview
from qsmengine.report.panels import Panel
from qsmengine.stages.metrics import correlation
from qsmengine.stats.labels.tables import load_label_table
from qsmengine.stats.regions.files import tabulate_regions

SNR = 100.0
VOXEL_SIZE = (1.5, 1.5, 1.5)
SUBJECT = "01"


@dataclass(frozen=True)
class _Places:
    """Folders of this part: BIDS dataset, truth, results."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / f"sub-{SUBJECT}" / "anat"

    @property
    def truth(self) -> Path:
        return self.root / "derivatives" / "truth" / f"sub-{SUBJECT}" / "anat"

    @property
    def derivatives(self) -> Path:
        return self.root / "derivatives" / "qsmengine"

    @property
    def maps(self) -> Path:
        return self.derivatives / f"sub-{SUBJECT}" / "anat"

    def map(self, ending: str) -> Path:
        """Return the file of a result."""
        return self.maps / f"sub-{SUBJECT}_{ending}"


def reconstruct_virtual_head(out: Path, device: Device, reporter: Reporter, summary: Summary) -> None:
    """Simulate the head, reconstruct it from its raw files, compare every map with the truth."""
    reporter.step("3. virtual head: 3 T, 1.5 mm, four echoes, SNR 100, known truth")
    places = _Places(out / "virtual-head")
    head = Scanner(flat=1.0, splines=True).scan(voxel_size=VOXEL_SIZE, snr=SNR)
    write_bids(head, places.root, SUBJECT)
    echoes = range(1, 1 + len(head.gre.echo_times)) if head.gre else range(0)
    request = QsmRequest(
        magnitude=tuple(places.raw / f"sub-{SUBJECT}_echo-{n}_part-mag_MEGRE.nii.gz" for n in echoes),
        phase=tuple(places.raw / f"sub-{SUBJECT}_echo-{n}_part-phase_MEGRE.nii.gz" for n in echoes),
        out=places.derivatives,
        force=True,
    )
    with reporter.progress():
        outcome = run_qsm_session(request, load_config(), device, progress=reporter.on_step)
    result = outcome.completed()
    rows = [
        *_raw_errors(head, result),
        *_inversion_errors(head, device, reporter),
        *_tensor_errors(device, reporter),
    ]
    columns = ("map", "from", "error [%]", "correlation", "median |difference|", "unit")
    summary.table(
        "Virtual head: error against truth (nrmse inside the masks; fields and chi without their mean)",
        columns,
        rows,
    )
    _regions(head, result, places, summary)
    _pictures(places)


def _raw_errors(head: VirtualHead, result: RunResult) -> list[Any]:
    """Reconstruct maps from the raw echoes; R2* is compared with its mean, because it is absolute."""
    mask = to_numpy(result["local_mask"]) & head.mask
    rows = []
    for name, title, demean in (
        ("total_field", "total field", True),
        ("local_field", "local field", True),
        ("chi", "chi, default chain", True),
        ("r2star", "R2*", False),
    ):
        rows.append((title, "raw echoes", *_agreement(to_numpy(result[name]), head, name, mask, demean=demean)))
    return rows


def _inversion_errors(head: VirtualHead, device: Device, reporter: Reporter) -> list[Any]:
    """Test the inversion alone, on the noise-free true local field in the whole mask."""
    field = head.truth["local_field"].array
    rows = []
    for method, title in (("tkd", "chi, TKD"), ("weighted_tv", "chi, weighted TV")):
        reporter.detail(f"inverting the true local field: {method}")
        chi = to_numpy(invert_dipole(field, head.mask, head.grid, method=method, device=device))
        rows.append((title, "true local field", *_agreement(chi, head, "chi", head.mask)))
    return rows


def _tensor_errors(device: Device, reporter: Reporter) -> list[Any]:
    """Compute tensor maps of the same head with 2 mm voxels, as is usual for diffusion."""
    reporter.detail("virtual diffusion series, 2 mm")
    head = virtual_head(voxel_size=(2.0, 2.0, 2.0), snr=SNR, modalities=("dwi",))
    if head.dwi is None:
        raise AssertionError
    result = run_dti(head.dwi, load_config(), device, mask=head.mask)
    return [
        (
            f"{n.upper()}, 2 mm",
            "raw diffusion",
            *_agreement(to_numpy(result[n]), head, n, head.mask, demean=False),
        )
        for n in ("fa", "md")
    ]


def _agreement(
    estimate: np.ndarray, head: VirtualHead, name: str, mask: np.ndarray, *, demean: bool = True
) -> tuple[float, float, float, str]:
    """Return error [%], correlation, median absolute difference and its unit, of a map against the truth."""
    truth = head.truth[name]
    factor, unit = {"ppm": (1000.0, "ppb"), "mm^2/s": (1e6, "1e-6 mm^2/s")}.get(truth.unit, (1.0, truth.unit))
    reference = truth.array
    if demean:
        estimate = estimate - estimate[mask].mean(dtype=np.float64)
        reference = reference - reference[mask].mean(dtype=np.float64)
    return (
        relative_error(estimate, reference, mask, demean=demean),
        correlation(estimate, reference, mask),
        factor * median_difference(estimate, reference, mask),
        unit,
    )


def _regions(head: VirtualHead, result: RunResult, places: _Places, summary: Summary) -> None:
    """Tabulate the deep grey matter; truth and estimate are referenced to the same mask."""
    mask = to_numpy(result["local_mask"])
    truth = head.truth["chi"].array
    referenced = np.where(mask, truth - np.float32(truth[mask].mean(dtype=np.float64)), np.float32(0))
    truth_file = places.truth / f"sub-{SUBJECT}_desc-referenced_Chimap.nii.gz"
    write_image(truth_file, referenced, head.grid)
    labels = places.truth / f"sub-{SUBJECT}_dseg.nii.gz"
    tables = {
        "truth": ({"chi": truth_file}, places.truth / f"sub-{SUBJECT}_desc-dgm_stats.tsv"),
        "estimate": (
            {"chi": places.map("Chimap.nii.gz"), "r2star": places.map("R2starmap.nii.gz")},
            places.map("desc-dgm_stats.tsv"),
        ),
    }
    found = {
        name: tabulate_regions(
            labels, load_label_table("synthseg"), maps, path, units={"chi": "ppm", "r2star": "1/s"},
            mask=places.map("desc-reliable_mask.nii.gz"), group="dgm",
        ).query("hemisphere in ('bilateral', 'midline')").to_dict("records")
        for name, (maps, path) in tables.items()
    }  # fmt: skip
    rows = []
    for true, ours in zip(found["truth"], found["estimate"], strict=True):
        t, e = 1000 * true["chi_mean"], 1000 * ours["chi_mean"]
        rows.append((ours["region"], round(ours["volume_mm3"]), t, e, e - t))
    columns = ("structure", "volume [mm3]", "truth [ppb]", "estimate [ppb]", "difference [ppb]")
    summary.table("Virtual head: chi of the deep grey matter, from raw echoes", columns, rows)
    agreement(
        tables["truth"][1], tables["estimate"][1], "chi", places.root / "regions.png",
        "Deep grey matter of the virtual head: truth and estimate",
    )  # fmt: skip


def _pictures(places: _Places) -> None:
    chi, truth = places.map("Chimap.nii.gz"), places.truth / f"sub-{SUBJECT}_desc-referenced_Chimap.nii.gz"
    mask = places.map("desc-reliable_mask.nii.gz")
    panels = [
        Panel(
            places.raw / f"sub-{SUBJECT}_echo-4_part-phase_MEGRE.nii.gz", "phase, echo 4", "phase", mask=mask
        ),
        Panel(places.map("desc-local_fieldmap.nii.gz"), "local field", "field_hz", window=(-6, 6)),
        Panel(chi, "susceptibility", "chi"),
        Panel(truth, "truth", "chi"),
        Panel(chi, "difference", "difference", subtract=truth, unit="ppm", window=(-0.1, 0.1), mask=mask),
        Panel(places.map("R2starmap.nii.gz"), "R2*", "r2star"),
    ]
    overview(panels, places.root / "overview.png", "Virtual head, 3 T, 1.5 mm, SNR 100")
