"""`python -m bench cohort`: what a cohort costs beside its computing."""

from bench.cohort.command import main

__all__ = ["main"]
