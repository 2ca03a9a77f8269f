"""From files to files: load a session, plan it, run it, write its maps.

There is one module per command that reconstructs. Each checks all inputs before it computes, and publishes
all of its outputs or none.
"""
