"""Pontillo et al. 2019, determinants of deep grey matter atrophy in MS (doi:10.3174/ajnr.A5915).

``published`` holds the printed tables, ``cohort`` and ``structure`` draw virtual cohorts, ``models`` fits the
models of the paper, ``raw`` repeats the study from raw signals, ``scanner`` from raw images through the steps
of a cohort run. The numbers in ``data`` are as printed.
"""
