"""Operators on images and masks: arrays in, arrays out, with adjoints where solvers need them."""
