"""Verification of a folder of results: its sessions are recomputed and compared with the maps in it.

Each reconstruction is repeated from the raw images and the configuration that its provenance names, in a
temporary folder. Nothing in the folder of results is changed.
"""
