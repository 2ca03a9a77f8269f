"""Summaries of an output folder: pages, citations and group tables.

They are built from the files of finished sessions, so they can be rebuilt at any time.
"""
