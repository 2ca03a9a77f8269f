"""Devices, FFTs and kernels: the only home of cupy and ctypes."""
