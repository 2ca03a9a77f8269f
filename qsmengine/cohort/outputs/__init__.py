"""Summaries of an output folder: pages, citations and group tables.

They are built from the files of finished sessions and from the ledger, so they can be rebuilt at any time. No
image is changed.
"""
