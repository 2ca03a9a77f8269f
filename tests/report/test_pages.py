import base64
import re

import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.report.cohort_page import write_cohort_page
from qsmengine.report.pages import duration, memory, shown
from qsmengine.report.records import find_series, find_tables, is_key, session_key
from qsmengine.report.session_figures import panels_of
from qsmengine.report.session_page import write_session_page
from qsmengine.report.sessions import SessionState, StepState
from tests.report.results import STEPS, cohort_in, write_session, write_table

EVIL = '<script>alert("x")</script>'


def page_of(out, key="sub-01", state=None):
    path = write_session_page(out, state or SessionState(key), find_series(out), find_tables(out))
    return path.read_text(encoding="utf-8")


def test_session_page_holds_maps_regions_notes_parameters_and_checksums(tmp_path):
    write_session(tmp_path, "sub-01", notes=("echo 3 left out",))
    write_table(tmp_path, "sub-01", {"pallidum": 0.125})
    text = page_of(tmp_path)
    for part in ("echo 3 left out", "pallidum", "0.125", "threshold 0.2", "0" * 64, "Shmueli et al. 2009"):
        assert part in text
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)" alt="[^"]+">\s*<figcaption>[^<]+<', text)
    assert len(pictures) == len(panels_of(find_series(tmp_path)[0])) == 6
    assert base64.b64decode(pictures[0]).startswith(b"\x89PNG")


def test_page_is_one_file_without_scripts_or_network(tmp_path):
    write_session(tmp_path, "sub-01")
    text = page_of(tmp_path)
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!data:|https://doi\.org/|#[\w-]+"|[\w.-]+\.html|[\w./-]+\.tsv)', text)
    assert re.findall(r"<link|@import|url\(", text) == []


def test_same_files_give_the_same_page(tmp_path):
    write_session(tmp_path, "sub-01")
    assert page_of(tmp_path) == page_of(tmp_path)


def test_hostile_metadata_is_text(tmp_path):
    step = {"Stage": EVIL, "Method": EVIL, "DOI": f'"onclick="{EVIL}', "Parameters": {EVIL: EVIL}}
    write_session(
        tmp_path, "sub-01", steps=(step,), notes=(EVIL,), Software={EVIL: EVIL}, Device=EVIL,
        Inputs=[{"File": EVIL, "SHA256": EVIL}],
    )  # fmt: skip
    write_table(tmp_path, "sub-01", {EVIL: 1.0})
    state = SessionState("sub-01", "failed", (EVIL,), (StepState(EVIL, EVIL, EVIL, (EVIL,), device=EVIL),))
    for text, scripts in (
        (page_of(tmp_path, state=state), 0),
        (write_cohort_page(tmp_path, cohort_in(tmp_path, [state])).read_text(), 3),
    ):
        assert text.count("<script") == scripts
        assert "&lt;script&gt;" in text
        assert '"onclick=' not in text


def test_cells_of_a_region_table_are_escaped_one_by_one(tmp_path):
    write_table(tmp_path, "sub-01", {EVIL: 0.25, "a&b": 1.0})
    text = page_of(tmp_path)
    assert "<script" not in text
    assert "<tr><td>a&amp;b</td><td>left</td><td>500</td><td>2</td><td>0.1</td></tr>" in text


@pytest.mark.parametrize("key", ["../evil", "a/b", "", ".hidden", "sub-01/../..", "x..y"])
def test_an_invalid_file_name_as_key_writes_nothing(tmp_path, key):
    assert not is_key(key)
    with pytest.raises(InputError, match="name of a session"):
        write_session_page(tmp_path, SessionState(key), [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("sub-1_ses-2_acq-x_run-1", "sub-1_ses-2"),
        ("sub-1_acq-x", "sub-1"),
        ("sub-1", "sub-1"),
        ("head", "head"),
        ("", "maps"),
        ("../a b", "a_b"),
    ],
)
def test_session_of_a_file_name(name, key):
    assert session_key(name) == key
    assert is_key(key)


def test_a_missing_map_is_reported_in_place_of_the_figure(tmp_path):
    folder = write_session(tmp_path, "sub-01")
    for path in folder.glob("*.nii.gz"):
        path.unlink()
    assert "no figure: nothing to show" in page_of(tmp_path)


def test_rows_of_the_picture_are_the_maps_that_are_there(tmp_path):
    write_session(tmp_path, "sub-01")
    (series,) = find_series(tmp_path)
    rows = [(panel.label, panel.kind, panel.window) for panel in panels_of(series)]
    assert rows == [
        ("chi, ±100 ppb", "chi", None),
        ("chi in axial slices, ±100 ppb", "chi", None),
        ("chi in axial slices, ±300 ppb", "chi", (-0.3, 0.3)),
        ("chi, smallest within 16 mm", "chi", (-0.3, 0.1)),
        ("chi, largest within 16 mm", "chi", (-0.1, 0.3)),
        ("R2*", "r2star", None),
    ]


def test_field_window_follows_the_field_strength(tmp_path):
    folder = write_session(tmp_path, "sub-01")
    (folder / "sub-01_Chimap.nii.gz").rename(folder / "sub-01_desc-local_fieldmap.nii.gz")
    widths = []
    for tesla in (3.0, 7.0):
        (folder / "sub-01_desc-local_fieldmap.json").write_text(f'{{"MagneticFieldStrength": {tesla}}}')
        widths.append(panels_of(find_series(tmp_path)[0])[0].window[1])
    assert widths == pytest.approx([0.05 * 42.576 * 3, 0.05 * 42.576 * 7])


def test_colour_fa_is_drawn_from_fa_and_direction(tmp_path):
    from qsmengine.io.nifti import write_image
    from tests.report.results import GRID

    place = write_session(tmp_path, "sub-01")
    (place / "sub-01_desc-qsm_prov.json").rename(place / "sub-01_desc-dti_prov.json")
    rng = np.random.default_rng(1)
    write_image(place / "sub-01_model-tensor_param-fa_dwimap.nii.gz", rng.random(GRID.shape), GRID)
    vectors = rng.standard_normal((*GRID.shape, 3)).astype("f4")
    write_image(place / "sub-01_model-tensor_param-v1_dwimap.nii.gz", vectors, GRID)
    (series,) = find_series(tmp_path)
    assert [p.kind for p in panels_of(series)] == ["fa", "colour_fa"]
    write_session(tmp_path, "sub-01")
    text = page_of(tmp_path)
    assert text.count("data:image/png") == 8
    assert text.index(">Susceptibility mapping<") < text.index(">Diffusion<")


def test_cohort_page_counts_states_and_gives_reasons(tmp_path):
    sessions = [
        SessionState(
            "sub-01", steps=(StepState("qsm", "done", seconds=75, peak_memory=3 << 30, notes=("n1",)),)
        ),
        SessionState(
            "sub-02", "failed", steps=(StepState("qsm", "failed", "phase.nii.gz: truncated", ("n1",)),)
        ),
        SessionState("sub-03", "blocked", ("no MEGRE",)),
    ]
    text = write_cohort_page(tmp_path, cohort_in(tmp_path, sessions)).read_text()
    for part in (
        "1 failed",
        "1 blocked",
        "1 done",
        "qsm: phase.nii.gz: truncated",
        "no MEGRE",
        "1 min 15 s",
        "3.0 GiB",
    ):
        assert part in text
    assert re.search(r'<td class="number">2</td><td>n1</td>', text)
    assert text.index("1 failed") < text.index("1 done")


def test_cohort_page_names_outliers(tmp_path):
    for number, value in enumerate([0, 0.1, 0.2, 0.3, 0.4, 9]):
        write_table(tmp_path, f"sub-{number:02d}", {"pallidum": value})
    states = [SessionState(f"sub-{n:02d}") for n in range(6)]
    text = write_cohort_page(tmp_path, cohort_in(tmp_path, states)).read_text()
    rows = re.findall(r'<td><a href="([\w.-]+)">(sub-\d\d)</a></td><td>pallidum</td><td>chi</td>', text)
    assert rows == [("sub-05.html", "sub-05")]


def test_provenance_without_a_list_of_steps_is_named(tmp_path):
    write_session(tmp_path, "sub-01", steps=STEPS)
    path = next(tmp_path.rglob("*_prov.json"))
    path.write_text('{"Steps": [1]}')
    with pytest.raises(InputError, match=r"prov\.json: Steps"):
        find_series(tmp_path)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (duration(0.04), "0.0 s"), (duration(41.4), "41 s"),
        (duration(200), "3 min 20 s"), (duration(7500), "2 h 5 min"),
        (memory(3 << 29), "1.5 GiB"), (memory(5 << 20), "5 MiB"),
        (shown("0.012345"), "0.0123"), (shown("1234.6"), "1235"),
        (shown("n/a"), "-"), (shown("nan"), "-"), (shown("left"), "left"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(made, text):
    assert made == text
