"""Inputs of methods and kernels, drawn at random with a seed; benchmarks and tests share them."""
