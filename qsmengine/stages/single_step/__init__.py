"""Susceptibility from the total field or the phase in one step, without background removal before it."""
