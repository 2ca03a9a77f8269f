"""Schweser et al. 2018, mapping of thalamic susceptibility in MS (doi:10.1016/j.neuroimage.2017.10.063).

``cohort`` draws maps of the thalamus with the published pattern; ``reproduce`` tests them. Effect sizes that
the paper does not give are assumptions and are named as such.
"""
