"""Pontillo et al. 2019, determinants of deep grey matter atrophy in MS (doi:10.3174/ajnr.A5915)."""
