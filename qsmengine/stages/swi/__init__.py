"""Susceptibility-weighted images and their minimum-intensity projection."""
