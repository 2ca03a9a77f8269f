"""`python -m bench denoising`: what denoising changes in the signal, R2* and susceptibility of a head."""

from bench.denoising.command import main

__all__ = ["main"]
