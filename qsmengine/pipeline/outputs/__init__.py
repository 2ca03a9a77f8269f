"""Files of derivatives: names, units, sidecars, provenance and the staging of outputs.

All outputs are written to a temporary folder first and moved into place at the end. Only these modules know the
file names of maps.
"""
