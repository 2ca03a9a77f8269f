import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.io import clean_b_vectors, read_b_values, read_b_vectors
from qsmengine.io.gradients import isotropic_volumes


@pytest.fixture
def directions(rng):
    vectors = rng.standard_normal((9, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def text(tmp_path):
    def _text(content, name="x"):
        path = tmp_path / name
        path.write_text(content)
        return path

    return _text


@pytest.mark.parametrize(
    "content",
    ["0 1000 2.5e3", "0\n1e3\n2500\n", "0,1000,2500", " 0.0;\t1000 ; 2500;\n\n", "\ufeff0 1000 2500\r\n"],
)
def test_b_values_are_read_leniently(text, content):
    values, notes = read_b_values(text(content))
    assert values.tolist() == [0, 1000, 2500]
    assert notes == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        ("0 1000 abc", "line 1 is not numeric: '0 1000 abc'"),
        ("0\n1000\nx\n", "line 3"),
        ("0 -5", "not negative"),
        ("0 nan", "finite"),
        ("0 1e9 1e9", r"1e\+09 are not in s/mm\^2; if they are in s/m\^2, divide them by 1e6"),
        ("0 1000\n0 1000", "2 rows of up to 2 numbers"),
    ],
)
def test_bad_b_values_are_refused(text, content, message):
    with pytest.raises(InputError, match=f"x: .*{message}"):
        read_b_values(text(content))


def test_odd_b_values_are_noted(text):
    assert "s/mm^2" in read_b_values(text("0 3e4"))[1][0]
    assert "every volume counts as b = 0" in read_b_values(text("0 5 50"))[1][0]


def test_both_orientations_give_the_same_directions(text, directions):
    rows, notes = read_b_vectors(text("\n".join(" ".join(f"{v:.9f}" for v in row) for row in directions)))
    columns, quiet = read_b_vectors(text("\n".join(",".join(f"{v:.9e}" for v in row) for row in directions.T)))
    np.testing.assert_allclose(rows, directions, atol=1e-8)
    np.testing.assert_allclose(columns, directions, atol=1e-8)
    assert (len(notes), quiet) == (1, [])


def test_three_directions_are_told_apart_by_their_length(text, rng):
    vectors = rng.standard_normal((3, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0
    for table in (vectors, vectors.T):
        got, _ = read_b_vectors(text("\n".join(" ".join(f"{v:.9f}" for v in row) for row in table)))
        np.testing.assert_allclose(got, vectors, atol=1e-8)
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    got, notes = read_b_vectors(text("\n".join(" ".join(f"{v:.9f}" for v in row) for row in rotation)))
    np.testing.assert_allclose(got, rotation.T, atol=1e-8)
    assert "both ways" in notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("1 2 3 4\n1 2 3 4", "2 x 4 numbers"),
        ("1 0 0\n1 0", r"rows of \[2, 3\]"),
        ("a b c", "line 1"),
    ],
)
def test_bad_tables_are_refused(text, content, message):
    with pytest.raises(InputError, match=message):
        read_b_vectors(text(content))


@pytest.mark.parametrize("content", ["0,0 1000,5", "0,0;1000,5", "0,0\t1000", "0,0\n1000,0\n1000,0\n2,5e3\n"])
def test_decimal_commas_are_named(text, content):
    for read in (read_b_values, read_b_vectors):
        with pytest.raises(InputError, match=r"line \d: '[\d,e]+' has a decimal comma; write points"):
            read(text(content))


@pytest.mark.parametrize("content", ["1,0\n0,1\n0,0\n", "1, 0\n0, 1\n0, 0", "1 ,0\n0 ,1\n0 ,0"])
def test_commas_between_numbers_separate_them(text, content):
    assert read_b_vectors(text(content))[0].tolist() == [[1, 0, 0], [0, 1, 0]]


def test_files_that_are_not_text_or_missing_are_refused(tmp_path):
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_b_vectors(tmp_path / "b")
    with pytest.raises(InputError, match="cannot be read"):
        read_b_values(tmp_path / "none")


def test_directions_are_made_unit_and_b0_zero(directions):
    vectors = directions.copy()
    vectors[0] = np.nan
    vectors[1] = 0
    vectors[4] *= 1.3
    vectors[5] *= 1.005
    b_values = np.array([0, 5, *[1000.0] * 7])
    got, notes = clean_b_vectors(b_values, vectors, "f.bvec")
    np.testing.assert_allclose(got[2:], directions[2:], atol=1e-12)
    assert not got[:2].any()
    assert "volumes 1)" in notes[0]
    assert "length up to 1.3 normalised (volumes 5)" in notes[1]
    assert len(notes) == 2


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_no_direction_at_a_high_b_value_is_refused(directions, value):
    directions[[3, 7]] = value
    with pytest.raises(
        InputError, match=r"f\.bvec: bvec: zero or NaN direction .* 4, 8; .*--exclude-volumes 4,8"
    ):
        clean_b_vectors(np.full(9, 1000.0), directions, "f.bvec")


def test_undirected_volumes_that_end_their_shell_are_isotropic(directions):
    b = np.array([0, 1000, 1000, 2000, 2000, 1000, 2000, 2000, 2000.0])
    directions[[0, 5, 7, 8]] = 0
    assert np.flatnonzero(isotropic_volumes(b, directions)).tolist() == [5, 7, 8]


def test_an_undirected_volume_amid_its_shell_is_not_isotropic(directions):
    directions[[0, 4]] = 0
    assert not isotropic_volumes(np.array([0.0, *[1000.0] * 8]), directions).any()


def test_a_table_without_any_direction_has_no_isotropic_volumes():
    assert not isotropic_volumes(np.array([0.0, 1000, 1000]), np.zeros((3, 3))).any()
