"""Operators on images and masks: arrays in, arrays out, with adjoints where solvers need them.

An operator is mathematics that several stages share: dipole, gradient, Gaussian, spheres, connected components.
It runs on the device that it is given and imports kernels only, no solver and no stage.
"""
