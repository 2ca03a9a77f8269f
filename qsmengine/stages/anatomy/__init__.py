"""Anatomy from T1-weighted images: tissue classes and deep grey matter."""
