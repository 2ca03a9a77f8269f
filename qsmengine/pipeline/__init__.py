"""One session, from series to maps.

``configuration`` reads settings, ``run`` plans and executes stages in memory, ``outputs`` writes maps with
provenance, ``sessions`` connects them from files to files, and ``api`` is the Python interface on arrays.
"""
