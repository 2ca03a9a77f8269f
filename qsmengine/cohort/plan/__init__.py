"""The plan of a cohort: the record types, and the functions that build every session's steps.

A plan is plain data that can be written as JSON; building one reads headers and sidecars and writes nothing.
Of the cohort's other sub-packages it imports only ``select``.
"""
