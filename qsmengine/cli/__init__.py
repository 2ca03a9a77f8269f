"""Command line: ``main`` and one module per command.

A command parses its options, calls the packages below and prints what they return; it computes nothing. No
other package imports this one.
"""
