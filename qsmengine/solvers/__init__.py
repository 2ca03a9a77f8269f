"""Optimisers: conjugate gradients, LSMR, multigrid, ADMM for total variation and total generalised variation.

They know operators and kernels, nothing of MRI: a problem is given by its operators, weights and tolerances.
``stopping`` holds the stopping rule and the status that iterative solvers report.
"""
