"""State of each session: records, claims on sessions, fingerprints of steps, the event log.

All files of the ledger are below ``OUT/.qsmengine``, and each is replaced atomically. Other rooms read and
write them through these modules only.
"""
