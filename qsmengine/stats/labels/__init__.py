"""Label tables: the structure and side that each number of a segmentation stands for.

The built-in tables and atlases with their licences are in ``data``; ``forms`` reads the tables of other
programs. This room imports nothing else of stats; every package may read label tables through ``tables``.
A new label number or atlas belongs here, a volume or a statistic does not.
"""
