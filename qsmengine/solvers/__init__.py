"""Optimisers: they know operators and kernels, nothing of MRI."""
