"""Schweser et al. 2018, mapping of thalamic susceptibility in MS (doi:10.1016/j.neuroimage.2017.10.063)."""
