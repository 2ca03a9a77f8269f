"""Version of the engine, read by the build and by every provenance record."""

__version__ = "0.1.0"
