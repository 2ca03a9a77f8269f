"""One session in a worker: run its steps, retry with less memory, and report every outcome.

This is the only room of the cohort that calls the reconstruction. Requests and outcomes are plain data, so a
worker may be a process on another machine.
"""
