"""Modalities: one folder each, with everything that only this modality needs.

A ``Modality`` (``modality.py``) describes its images, how they form series, how a session runs, what it writes
and what a report shows; ``registry.py`` lists them. Cohorts, reports and region tables work from these
descriptions and know no modality by name.
"""
