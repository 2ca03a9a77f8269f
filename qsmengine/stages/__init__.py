"""Reconstruction steps: one method per file, together with its parameters; arrays in, arrays out."""
