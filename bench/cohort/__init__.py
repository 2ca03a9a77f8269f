"""`python -m bench cohort`: overhead of a cohort run."""

from bench.cohort.command import main

__all__ = ["main"]
