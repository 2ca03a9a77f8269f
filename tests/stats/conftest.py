"""A small cohort on disk: region tables below sub-*/anat and participants.tsv."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def _make_cohort(folder, n=24, seed=5, groups=("HC", "MS", "CIS")):
    """Write a cohort and return it as a frame with one row a participant."""
    rng = np.random.default_rng(seed)
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:02d}" for i in range(n)],
            "group": [groups[i % len(groups)] for i in range(n)],
            "age": rng.integers(20, 70, n).astype(float),
            "sex": rng.choice(["F", "M"], n),
            "site": rng.choice(["1", "2", "3"], n),
        }
    )
    shift = people["group"].map({"HC": 0.0, "MS": -0.02, "CIS": -0.005})
    people["thalamus"] = shift + 4e-4 * people["age"] + rng.normal(0, 0.01, n)
    people["putamen"] = 0.05 + 1e-3 * people["age"] + rng.normal(0, 0.02, n)
    people["volume"] = 9000 + 500 * rng.normal(0, 1, n)
    _write_participants(folder, people[["participant_id", "group", "age", "sex", "site"]])
    for person in people.itertuples():
        _write_values(folder, person.participant_id, person.thalamus, person.putamen, person.volume)
    return people


def _write_participants(folder, people):
    people.to_csv(folder / "participants.tsv", sep="\t", index=False, na_rep="n/a")


def _write_values(folder, participant, thalamus, putamen, volume, session=None):
    name = participant if session is None else f"{participant}_ses-{session}"
    path = folder / participant / "anat" / f"{name}_desc-dgm_stats.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(
        {
            "index": [10, None, None, 16],
            "region": ["thalamus", "thalamus", "putamen", "brainstem"],
            "hemisphere": ["left", "bilateral", "bilateral", "midline"],
            "n_voxels": [4000, 8000, 6000, 9000],
            "volume_mm3": [volume / 2, volume, volume / 1.5, np.nan],
            "chi_n_valid": [4000, 8000, 6000, 3],
            "chi_mean": [thalamus * 0.9, thalamus, putamen, np.nan],
        }
    )
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    return path


@pytest.fixture
def make_cohort():
    return _make_cohort


@pytest.fixture
def write_participants():
    return _write_participants


@pytest.fixture
def write_values():
    return _write_values


@pytest.fixture
def bids(tmp_path: Path):
    folder = tmp_path / "derivatives"
    folder.mkdir()
    return folder
