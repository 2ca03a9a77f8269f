"""Denoising: joint non-local means, estimation of the noise."""
