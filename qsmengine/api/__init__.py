"""Python interface: arrays in, arrays out, on NumPy or CuPy.

The functions are exported by ``qsmengine`` itself. They touch no files.
"""
