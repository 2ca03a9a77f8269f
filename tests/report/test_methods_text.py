import re
from pathlib import Path

import pytest

from qsmengine.modalities.derived import DERIVED
from qsmengine.report.methods_text import (
    citation,
    describe,
    paragraph,
    reference,
    references,
    sentences,
    write_citation,
)
from qsmengine.report.records import find_series
from qsmengine.stages.registry import all_methods
from tests.report.results import STEPS, write_session

STAGES = Path(__file__).resolve().parents[2] / "qsmengine" / "stages"
METHODS = {f"{m.stage}/{m.name}": m for m in all_methods()}


def as_step(method):
    values = method.params().model_dump(mode="json", by_alias=True)
    return {"Stage": method.stage, "Method": method.name, "DOI": method.doi, "Parameters": values}


def test_every_method_has_a_sentence_and_no_other_has():
    derived = {name for one in DERIVED for name in one.sentences}
    assert set(sentences()) == set(METHODS) | derived


@pytest.mark.parametrize("name", METHODS)
def test_sentence_uses_parameters_that_exist(name):
    entry = sentences()[name]
    known = {f.alias or n for n, f in METHODS[name].params.model_fields.items()}
    for part in (entry, *entry.get("cases", ()), *entry.get("also", ())):
        assert set(re.findall(r"{(\w+)}", part["text"])) <= known
        assert part.get("when", next(iter(known), None)) in {*known, None}
    made = describe(as_step(METHODS[name]))
    assert METHODS[name].doi in made.dois
    assert not re.search(r"[{}]|unknown", made.text)


def test_every_source_is_known_by_authors_and_year_as_the_stages_have_them():
    dois = {m.doi for m in METHODS.values()}
    dois |= {more["doi"] for e in sentences().values() for more in e.get("also", ()) if "doi" in more}
    assert dois <= set(references())
    texts = [" ".join(path.read_text().split()) for path in STAGES.rglob("*.py")]
    for doi in dois:
        found = re.fullmatch(r"(\S+?),? .*?(\d{4})|(\S+) (\d{4})", reference(doi))
        author, year = (g for g in found.groups() if g)
        near = re.compile(rf"{author}[^;]{{0,40}}{year}[^;]{{0,12}}{re.escape(doi)}")
        assert any(near.search(text) for text in texts), doi


def test_every_step_that_ran_is_cited_and_no_other(tmp_path):
    write_session(tmp_path, "sub-01")
    text = citation(find_series(tmp_path))
    assert set(re.findall(r"https://doi.org/([^>\s]+)", text)) == {s["DOI"] for s in STEPS}
    assert "unwrapped with ROMEO (template mode, template echo 1) (Dymerska et al. 2021)" in text
    assert "thresholded k-space division (threshold 0.2) (Shmueli et al. 2009)" in text
    other = [e["text"].split("(")[0].split("{")[0] for n, e in sentences().items() if n not in
             {f"{s['Stage']}/{s['Method']}" for s in STEPS}]  # fmt: skip
    assert not [o for o in other if o in text]


def test_paragraph_reports_protocol_software_and_number_of_sessions(tmp_path):
    for key in ("sub-01", "sub-02_ses-1", "sub-02_ses-2"):
        write_session(tmp_path, key)
    text = paragraph(find_series(tmp_path))
    start = "Gradient-echo data of 3 sessions (3 T, 2 echoes at 4 to 20 ms, voxels of 2 x 2 x 2 mm)"
    assert text.startswith(start)
    assert "qsmengine 1.2.3 (kernels abc, on cpu)" in text


def test_each_configuration_has_its_paragraph_the_most_frequent_first(tmp_path):
    for key in ("sub-01", "sub-02"):
        write_session(tmp_path, key)
    odd = {**STEPS[1], "Parameters": {"threshold": 0.5}}
    write_session(tmp_path, "sub-00", steps=(odd,))
    text = citation(find_series(tmp_path))
    assert text.index("of 2 sessions") < text.index("of 1 session ")
    assert text.count("Shmueli et al. 2009, <https") == 1
    assert "threshold 0.5" in text


def test_options_of_a_method_are_cited_where_they_were_on():
    step = as_step(METHODS["inversion/medi"])
    assert "10.1002/mrm.26946" not in describe(step).dois
    step["Parameters"]["lambda_csf"] = 0.1
    assert "10.1002/mrm.26946" in describe(step).dois
    assert "ventricles (weight 0.1)" in describe(step).text
    step = as_step(METHODS["reference/region_mean"])
    step["Parameters"]["region"] = "none"
    assert "not referenced" in describe(step).text


def test_method_of_another_version_is_named_as_it_is():
    made = describe({"Stage": "inversion", "Method": "new", "DOI": "10.1/2", "Parameters": {}})
    assert made.text == "The step inversion was performed by new"
    assert made.dois == ("10.1/2",)


def test_citation_is_written_under_logs(tmp_path):
    write_session(tmp_path, "sub-01")
    path = write_citation(tmp_path, find_series(tmp_path))
    assert path == tmp_path / "logs" / "CITATION.md"
    assert path.read_text() == citation(find_series(tmp_path))
