"""Modalities, one folder each with everything specific to that modality.

A ``Modality`` (``modality.py``) describes its images, their grouping into series, the processing of a session,
the outputs and the report; ``registry.py`` lists them. Cohorts, reports and region tables use these
descriptions and never name a modality.
"""
