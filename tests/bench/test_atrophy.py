"""Group differences that the benchmark prints, and participants that it keeps."""

import pandas as pd
import pytest

from bench import atrophy


def table(shrinkage):
    """Two controls of 10 mL, two patients of 8 mL; measured atrophy is `shrinkage` of the true one, 5 % too
    large."""
    rows = []
    for group, true, size in (("HC", 10.0, 1.0), ("HC", 10.0, 2.0), ("PMS", 8.0, 1.0), ("PMS", 8.0, 2.0)):
        ours = 1.05 * (10 - shrinkage * (10 - true))
        row = {"participant_id": f"sub-{len(rows):03d}", "group": group, "scaling": size}
        for name in atrophy.VOLUMES:
            # A head of half the size has half the volumes.
            row |= {f"true_{name}": true, f"measured_{name}": ours / size}
        rows.append(row)
    return pd.DataFrame(rows)


def test_measured_differences_are_normalised_by_the_size_of_the_head(capsys):
    atrophy.print_differences(table(0.5))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 controls, 2 patients")
    (thalamus,) = (line.split() for line in lines if line.startswith("thalamus"))
    assert [float(one) for one in thalamus[4:7]] == pytest.approx([-20, -10, 0], abs=0.05)
    assert thalamus[7:] == ["0.50", "+-", "0.00"]


def test_a_difference_smaller_than_its_error_has_no_ratio(capsys):
    made = table(1.0)
    made["true_thalamus"], made["measured_thalamus"] = [10.0, 10.0, 10.0, 10.01], [10.0, 5.5, 9.0, 5.0]
    atrophy.print_differences(made)
    (thalamus,) = (one.split() for one in capsys.readouterr().out.splitlines() if one.startswith("thalamus"))
    assert thalamus[-1] == "n/a"


def test_participants_in_the_table_are_kept(tmp_path, monkeypatch, capsys):
    made = []

    def measured(values, seed, threads):
        made.append((values["participant_id"], seed, threads))
        row = table(1.0).iloc[len(made) % 4].drop(["participant_id", "group"])
        return {k: v * (1 + 0.01 * len(made)) for k, v in row.items()}

    monkeypatch.setattr(atrophy, "measured", measured)
    argv = ["--seed", "3", "--groups", "HC", "PMS", "--table", str(tmp_path / "volumes.tsv")]
    assert atrophy.main([*argv, "--per-group", "2"]) == 0
    before = capsys.readouterr().out.splitlines()[-len(atrophy.VOLUMES) :]
    assert [key for key, *_ in made] == ["sub-001", "sub-094", "sub-002", "sub-095"]
    assert atrophy.main([*argv, "--per-group", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-len(atrophy.VOLUMES) :] == before
    assert len(made) == 4
    assert atrophy.main([*argv[:2], "--groups", "HC", "--table", argv[-1], "--per-group", "2"]) == 0
    assert capsys.readouterr().out == "differences need two controls and two patients or more\n"
