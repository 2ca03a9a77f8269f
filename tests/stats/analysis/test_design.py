import pytest

from qsmengine.errors import InputError, UsageError
from qsmengine.stats.analysis.design import load_design
from tests.stats.designs import design_file


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"covariate": ["age"]}, "unknown entry 'covariate' \\(did you mean 'covariates'\\?\\) in design"),
        ({"groups": {"colum": "group", "column": "g", "reference": "HC"}}, "did you mean 'column'.* in groups"),
        ({"outcome": [{"region": "a", "stat": "mean"}]}, "outcome.statistic is missing; unknown entry 'stat'"),
        ({"correction": "bonferoni"}, "correction: Input should be 'bonferroni'"),
        ({"categorical": ["sites"]}, "'sites' is not a covariate"),
        ({"outcome": []}, "outcome: need at least one"),
    ],
)
def test_a_wrong_design_is_a_usage_error_that_names_the_entry(tmp_path, changes, what):
    with pytest.raises(UsageError, match=what):
        load_design(design_file(tmp_path, **changes))


def test_a_design_must_be_a_yaml_mapping(tmp_path):
    path = tmp_path / "design.yaml"
    for text, error in (
        ("- a\n", UsageError),
        ("a: [", InputError),
        ("!!python/object:os.system {}", InputError),
    ):
        path.write_text(text)
        with pytest.raises(error, match=r"design.yaml"):
            load_design(path)


def test_a_design_is_frozen_and_takes_numbers_as_names(tmp_path):
    design = load_design(design_file(tmp_path, groups={"column": "code", "reference": 0, "levels": [0, 1]}))
    assert (design.groups.reference, design.groups.levels) == ("0", ("0", "1"))
    with pytest.raises(ValueError, match="frozen"):
        setattr(design, "correction", "none")  # noqa: B010
