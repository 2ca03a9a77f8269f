"""Voxelwise inference: enhancement of statistic maps, permutation tests."""
