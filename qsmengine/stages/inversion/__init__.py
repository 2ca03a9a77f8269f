"""Dipole inversion: local field [ppm] -> susceptibility [ppm]."""
