"""Python interface: arrays in, arrays out, on NumPy or CuPy.

The functions are exported by ``qsmengine``. They access no files.
"""
