"""Perfusion from dynamic susceptibility contrast: contrast, arterial input, leakage, deconvolution."""
