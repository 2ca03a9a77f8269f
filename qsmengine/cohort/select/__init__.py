"""Which images take part: an index of the BIDS dataset, filters, and images grouped into series.

Only names, sidecars and small tables are read here, never image data. These modules import no other room of
the cohort.
"""
