"""Selection of images: an index of the BIDS dataset, filters, and images grouped into series.

Only names, sidecars and small tables are read here, never image data. These modules import none of the
cohort's other sub-packages.
"""
