"""Susceptibility from the total field or the phase in one step, without separate background removal."""
