"""Modalities, one folder each with everything specific to that modality.

A ``Modality`` (``modality.py``) describes its images, their import, drawing and grouping into series, the
processing of a session, the outputs and the report; ``registry.py`` lists them. Cohorts, commands, imports,
reports and region tables use these descriptions and never name a modality.
"""
