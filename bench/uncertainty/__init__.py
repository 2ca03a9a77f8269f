"""`python -m bench uncertainty`: how often intervals of chi contain the truth, and their calibration."""

from bench.uncertainty.command import main

__all__ = ["main"]
