"""Server for images of a running scanner, in the streaming protocol of ISMRM raw data (MRD).

A client (the scanner's reconstruction computer) sends magnitude and phase of multi-echo gradient echoes and
gets maps of susceptibility, R2*, uncertainty and susceptibility weighting back, in the same geometry.
Everything stays in memory; no file is written. `wire` knows messages, `header`, `geometry` and `series` the
acquisition, `images` the answer, `parameters` and `label` what a client may choose, and `session` and `server`
the conversation.
"""
