"""`python -m bench accuracy`: how close every method and preset comes to the truth of virtual heads."""

from bench.accuracy.command import main

__all__ = ["main"]
