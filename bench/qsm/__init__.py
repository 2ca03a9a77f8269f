"""`python -m bench qsm`: whole presets on a head of 256 x 256 x 160, and iterations against their FFTs."""

from bench.qsm.command import main

__all__ = ["main"]
