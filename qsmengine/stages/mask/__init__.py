"""Masks of tissue with usable phase."""
