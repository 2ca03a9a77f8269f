import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.report.agreement import agreement

STRUCTURES = {"thalamus": 0.01, "caudate": 0.05, "putamen": 0.06, "pallidum": 0.13}


def rows(scale=1.0, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    out = [
        (region, side, "dgm", chi * scale + noise * rng.normal(), 0.01)
        for region, chi in STRUCTURES.items()
        for side in ("left", "right", "bilateral")
    ]
    return [*out, ("brainstem", "midline", "brainstem", "n/a", "n/a")]


def test_a_figure_is_written_with_the_same_bytes_each_time(write_table, tmp_path, pixels):
    truth, estimate = write_table("t.tsv", rows()), write_table("e.tsv", rows(0.9, 0.003))
    for name in ("a.png", "b.png"):
        agreement(truth, estimate, "chi", tmp_path / name, "Deep grey matter", group="dgm")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert pixels(tmp_path / "a.png").shape == (690, 1575, 3)


def test_the_numbers_in_the_figure_are_those_of_the_tables(write_table, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("qsmengine.report.agreement.write_png", lambda figure, _: drawn.append(figure))
    truth = write_table("t.tsv", rows())
    agreement(truth, write_table("e.tsv", rows(0.8)), "chi", tmp_path / "a.png", "DGM")
    scatter, bars = drawn[0].axes
    text = " ".join(t.get_text() for t in scatter.texts)
    rmse = np.sqrt(np.mean([(0.2 * chi) ** 2 for chi in STRUCTURES.values()]))
    assert f"RMSE {rmse:.3g}" in text
    assert "slope 0.800" in text
    assert scatter.get_xlabel() == "true mean chi [ppm]"
    assert [t.get_text() for t in bars.get_yticklabels()] == list(STRUCTURES)
    lengths = sorted(patch.get_width() for patch in bars.patches)
    expected = [c * f for c in STRUCTURES.values() for f in (1.0, 0.8)]
    np.testing.assert_allclose(lengths, sorted(expected), rtol=1e-12)
    assert "1 rows without a value" in " ".join(t.get_text() for t in drawn[0].texts)


def test_tables_that_cannot_be_compared_are_refused(write_table, tmp_path):
    truth = write_table("t.tsv", rows())
    out = tmp_path / "a.png"
    with pytest.raises(InputError, match=r"e\.tsv: chi_mean: in ppb, .*t\.tsv has ppm"):
        agreement(truth, write_table("e.tsv", rows(), unit="ppb"), "chi", out, "t")
    with pytest.raises(InputError, match="fewer than two structures"):
        agreement(truth, write_table("f.tsv", rows()[-1:]), "chi", out, "t")
    with pytest.raises(InputError, match="fa_mean: has no Units"):
        agreement(truth, truth, "fa", out, "t")
    broken = write_table("g.tsv", [("a", "left", "dgm", "much", 1)])
    with pytest.raises(InputError, match=r"g\.tsv: chi_mean: could not convert"):
        agreement(truth, broken, "chi", out, "t")
    with pytest.raises(InputError, match=r"h\.json: no such file"):
        agreement(truth, tmp_path / "h.tsv", "chi", out, "t")
    assert not out.exists()
