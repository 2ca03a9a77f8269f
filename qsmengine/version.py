"""The version of the engine, which the build and every provenance record read."""

__version__ = "0.1.0"
