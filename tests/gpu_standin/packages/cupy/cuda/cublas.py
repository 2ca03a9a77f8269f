"""``cupy.cuda.cublas``: loads; what CuPy does through it is done by NumPy."""
