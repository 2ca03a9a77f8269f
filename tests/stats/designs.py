"""A design that the cohorts of the tests answer to."""

import yaml

from qsmengine.stats.analysis.run_design import run_group_analysis

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


def run_design(bids, **changes):
    return run_group_analysis(design_file(bids.parent, **changes), bids, bids.parent / "out")


def participants(people):
    """Columns of participants.tsv."""
    return people[["participant_id", "group", "age", "sex", "site"]]
