"""The designs in the documentation are fitted as they stand there."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qsmengine.stats.analysis.run_design import run_group_analysis
from qsmengine.stats.analysis.run_models import run_analysis

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "group-models.md"
REGIONS = ("thalamus", "caudate", "putamen", "pallidum")


@pytest.fixture
def cohort(tmp_path):
    """Derivatives of 40 people with two visits, and the columns that the page names."""
    rng = np.random.default_rng()
    rows = []
    for i in range(40):
        person = f"sub-{i:02d}"
        rows.append(
            {
                "participant_id": person,
                "group": ("HC", "MS")[i % 2],
                "age": rng.uniform(20, 70),
                "sex": ("F", "M")[i // 2 % 2],
                "site": ("1", "2")[i // 4 % 2],
                "lesion_load": rng.gamma(2, 3),
            }
        )
        own = rng.normal(0.02, 0.01, len(REGIONS))
        for visit in ("1", "2"):
            write_regions(tmp_path / person / f"ses-{visit}" / "anat", f"{person}_ses-{visit}", own, rng)
        visits = pd.DataFrame({"session_id": ["ses-1", "ses-2"], "years": [0.0, rng.uniform(1, 5)]})
        visits.to_csv(tmp_path / person / f"{person}_sessions.tsv", sep="\t", index=False)
    pd.DataFrame(rows).to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    return tmp_path


def write_regions(folder, name, chi, rng):
    table = pd.DataFrame({"region": REGIONS, "hemisphere": "bilateral", "n_voxels": 900})
    table["volume_mm3"] = rng.normal(8000, 500, len(REGIONS))
    table["chi_n_valid"], table["chi_mean"] = 900, chi + rng.normal(0, 0.003, len(REGIONS))
    folder.mkdir(parents=True)
    table.to_csv(folder / f"{name}_desc-dgm_stats.tsv", sep="\t", index=False)


def example(name, folder):
    (text,) = re.findall(rf"```yaml\n# {name}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / name).write_text(text)
    return folder / name


def test_design_of_the_page(cohort):
    design = example("design.yaml", cohort)
    design.write_text(design.read_text() + "session: 1\n")  # one visit of the two
    result = run_group_analysis(design, cohort, cohort / "out")
    assert len(result.ancova) == 2 * (len(REGIONS) + 1)
    assert result.excluded.empty


def test_models_of_the_page(cohort):
    result = run_analysis(example("models.yaml", cohort), cohort, cohort / "out")
    listed = re.findall(r"name: ([\w ]+), kind: (\w+)", (cohort / "models.yaml").read_text())
    kinds = dict(listed)
    reported = pd.concat([result.tests, result.checks, result.blocks, result.variances])
    assert dict(zip(reported["model"], reported["kind"], strict=True)) == kinds
