"""Devices, FFTs, memory and kernels: the only home of cupy and ctypes.

``device`` chooses the CPU or a GPU, ``kernel`` and ``launch`` call a kernel with named arguments, and
``signatures`` declares every kernel. The packages above see arrays and devices only, never which of the two
runs.
"""
