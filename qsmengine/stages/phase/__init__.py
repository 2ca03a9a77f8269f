"""Wrapped phase [rad] -> total field [ppm]: offset removal, unwrapping, fit over the echoes."""
