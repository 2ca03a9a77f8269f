"""``cupy.cuda.cusolver``: loads; what CuPy does through it is done by NumPy."""
