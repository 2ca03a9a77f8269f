"""Reconstruction steps: one method per file, its parameters beside it; arrays in, arrays out."""
