"""A design that the cohorts of the tests answer to."""

import yaml

DESIGN = {
    "outcome": {"region": "thalamus", "map": "chi", "statistic": "mean"},
    "groups": {"column": "group", "reference": "HC"},
    "covariates": ["age", "sex"],
    "correction": "holm",
}


def design_file(folder, **changes):
    path = folder / "design.yaml"
    path.write_text(yaml.safe_dump(DESIGN | changes))
    return path
