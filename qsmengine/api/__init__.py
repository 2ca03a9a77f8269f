"""Python interface: arrays in, arrays out, on NumPy or CuPy.

The functions are exported by ``qsmengine``; scripts of users depend on their names and arguments. They access
no files, and each runs one registered method or the session of a modality in memory.
"""
