"""Cohorts: a BIDS dataset in, derivatives out, with a ledger that lets a run resume.

Data flow through the rooms in this order: ``select`` finds the images, ``plan`` decides the steps, ``pools``
starts workers, ``work`` runs sessions, ``ledger`` records them, and ``outputs`` summarises the folder.
``run`` and ``drive`` connect the rooms.
"""
