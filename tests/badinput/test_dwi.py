"""Bad diffusion series through the real command."""

import numpy as np
import pytest

from tests.badinput.checking import check


def one_b_value_short(dwi):
    path = dwi.with_name("sub-01_dwi.bval")
    path.write_text(" ".join(path.read_text().split()[:-1]))
    return 3, ("13 volumes", "12 b-values", "13 directions")


def one_direction_short(dwi):
    path = dwi.with_name("sub-01_dwi.bvec")
    np.savetxt(path, np.loadtxt(path)[:, :-1])
    return 3, ("13 volumes", "13 b-values", "12 directions")


def no_table(dwi):
    dwi.with_name("sub-01_dwi.bval").unlink()
    return 3, ("sub-01_dwi.bval", "not found")


def empty_table(dwi):
    dwi.with_name("sub-01_dwi.bval").write_text("")
    return 3, ("sub-01_dwi.bval",)


def words_in_table(dwi):
    dwi.with_name("sub-01_dwi.bval").write_text("0 1000 thousand")
    return 3, ("sub-01_dwi.bval",)


def no_b0(dwi):
    dwi.with_name("sub-01_dwi.bval").write_text(" ".join(["1000"] * 13))
    return 3, ("sub-01_dwi.bvec",)


def only_b0(dwi):
    dwi.with_name("sub-01_dwi.bval").write_text(" ".join(["0"] * 13))
    return 3, ("diffusion-weighted",)


def few_directions(dwi):
    table = np.loadtxt(dwi.with_name("sub-01_dwi.bvec"))
    table[:, 1:] = table[:, 1:2]
    np.savetxt(dwi.with_name("sub-01_dwi.bvec"), table)
    return 3, ("tensor",)


def truncated_dwi(dwi):
    data = dwi.read_bytes()
    dwi.write_bytes(data[: len(data) // 2])
    return 3, (dwi.name,)


@pytest.mark.parametrize(
    "spoil",
    [
        one_b_value_short, one_direction_short, no_table, empty_table, words_in_table, no_b0, only_b0,
        few_directions, truncated_dwi,
    ],
)  # fmt: skip
def test_bad_diffusion_is_refused(spoil, dwi, tmp_path, capsys):
    code, words = spoil(dwi)
    argv = ["dti", "--dwi", str(dwi), "--out", str(tmp_path / "out" / "x"), "--device", "cpu"]
    check(argv, tmp_path / "out", capsys, code, *words)
