"""Separation of paramagnetic and diamagnetic sources."""
