"""Benchmarks: `python -m bench NAME`; every figure is a ratio to something measured in the same run."""
