"""Plan and execution in memory: which stages run, what they need, and the maps they give.

No file is read or written here. Progress is reported through callbacks; results carry their timings and
notes.
"""
