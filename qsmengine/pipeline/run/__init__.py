"""Planning and execution of a run in memory: its stages, their memory needs and the resulting maps.

No file is read or written here. Progress is reported through callbacks; results carry their timings and
notes.
"""
