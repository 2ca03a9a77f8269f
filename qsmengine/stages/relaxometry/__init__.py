"""Decay of the magnitude over the echoes: R2*, T2*, amplitude."""
