"""Part 4: two groups of coarse virtual heads with random susceptibilities, compared by an ANCOVA."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qsmengine.api.reconstruct import invert_dipole
from qsmengine.backend.device import Device, to_numpy
from qsmengine.cli.demo.summary import Summary
from qsmengine.cli.display.reporter import Reporter
from qsmengine.io.atomic import write_text
from qsmengine.io.nifti import write_image
from qsmengine.phantom import VirtualHead, virtual_head
from qsmengine.phantom.field import FieldModel
from qsmengine.stats.analysis.run_design import run_group_analysis
from qsmengine.stats.labels.tables import load_label_table
from qsmengine.stats.regions.files import tabulate_regions

VOXEL_SIZE = (2.5, 2.5, 2.5)
PER_GROUP = 8
SHIFT_PPB = {"pallidum": 25.0, "thalamus": -12.0}
"""True difference in mean chi, second minus first group [ppb]."""
LABELS = {"pallidum": (13, 52), "thalamus": (10, 49)}
BETWEEN_PEOPLE = 0.006
"""Standard deviation of a structure's chi within a group [ppm]."""
PER_YEAR = 0.0003
"""Increase of the pallidum's chi with age [ppm/year]."""
FIELD_NOISE = 0.002
"""Standard deviation of the noise of the local field [ppm]."""

DESIGN = """\
outcome: {region: [pallidum, thalamus], map: chi, statistic: mean}
groups: {column: group, reference: control}
covariates: [age]
correction: bonferroni
"""


def compare_groups(out: Path, device: Device, reporter: Reporter, summary: Summary) -> None:
    """Simulate the heads, invert their local fields, tabulate regions, fit the group model."""
    reporter.step(f"4. virtual cohort: {2 * PER_GROUP} heads with 2.5 mm voxels in two groups")
    folder = out / "cohort"
    head = virtual_head(voxel_size=VOXEL_SIZE, modalities=())
    rng = np.random.default_rng(11)
    labels = folder / "dseg.nii.gz"
    write_image(labels, head.labels, head.grid)
    model = FieldModel.on_cpu(head.grid.shape, head.grid.voxel_size, head.grid.b0_direction)
    people = ["participant_id\tgroup\tage"]
    for number in range(2 * PER_GROUP):
        group = "control" if number < PER_GROUP else "patient"
        age = float(rng.integers(25, 65))
        subject = f"sub-{number + 1:02d}"
        people.append(f"{subject}\t{group}\t{age:g}")
        chi = _draw_chi(head, age, rng, patient=group == "patient")
        field = model.field(chi) + rng.normal(0, FIELD_NOISE, chi.shape).astype(np.float32)
        estimate = to_numpy(invert_dipole(field, head.mask, head.grid, method="tkd", device=device))
        path = folder / subject / "anat" / f"{subject}_Chimap.nii.gz"
        write_image(path, estimate, head.grid)
        table = path.with_name(f"{subject}_desc-dgm_stats.tsv")
        tabulate_regions(
            labels, load_label_table("synthseg"), {"chi": path}, table, units={"chi": "ppm"}, group="dgm"
        )
    write_text(folder / "participants.tsv", "\n".join(people) + "\n")
    write_text(folder / "design.yaml", DESIGN)
    result = run_group_analysis(folder / "design.yaml", folder, folder / "group")
    contrasts = result.ancova[result.ancova["group"] == "patient"]
    rows = []
    for row in contrasts.to_dict("records"):
        low, high = (1000 * row[f"difference_ci_{end}"] for end in ("low", "high"))
        truth, found = SHIFT_PPB[row["region"]], 1000 * row["difference"]
        rows.append((row["region"], truth, found, f"{low:.1f} .. {high:.1f}", f"{row['p']:.2g}"))
    columns = ("structure", "truth [ppb]", "difference [ppb]", "95 % interval", "p")
    summary.table(
        f"Virtual cohort: patients minus controls, ANCOVA with age, {PER_GROUP} and {PER_GROUP}", columns, rows
    )


def _draw_chi(head: VirtualHead, age: float, rng: np.random.Generator, *, patient: bool) -> np.ndarray:
    """Return the susceptibility of one subject inside the mask [ppm]."""
    chi = np.where(head.mask, head.truth["chi"].array, np.float32(0))
    for region, labels in LABELS.items():
        value = rng.normal(0.0, BETWEEN_PEOPLE)
        value += PER_YEAR * (age - 45.0) if region == "pallidum" else 0.0
        value += SHIFT_PPB[region] / 1000 if patient else 0.0
        chi[np.isin(head.labels, labels) & head.mask] += np.float32(value)
    return chi
