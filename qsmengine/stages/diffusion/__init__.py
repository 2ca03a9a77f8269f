"""Diffusion models fitted voxel by voxel."""
