"""Settings of a run: presets, YAML files and ``--set``, checked against the registry of methods.

Every error names the key, its value and the nearest known key. A configuration is immutable once built.
"""
