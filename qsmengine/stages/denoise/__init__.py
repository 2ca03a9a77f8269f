"""Denoising by non-local means and principal components, and noise estimation."""
