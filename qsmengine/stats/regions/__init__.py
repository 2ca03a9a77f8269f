"""Region tables: volumes and statistics of labelled structures.

``measure`` turns arrays into a table, ``files`` images into TSV, and ``volumes`` reads the volumes that other
programs measured. The cohort, the command line and the room ``derivatives`` import it; it imports label tables
and TSV only. Column names are part of the output format and may only be added to.
"""
