"""``qsmengine-bids``: the BIDS App interface to a cohort run.

Its arguments are declared once; the parser and the Boutiques descriptor are both built from that declaration.
The work is done by ``qsmengine.cohort``.
"""
