"""Reconstruction steps: one method per file, together with its parameters; arrays in, arrays out.

``registry`` lists the stages and finds their methods; a method is added by its module and a line there.
Methods read no files and no configuration. ``checks`` refuses wrong shapes, empty masks and non-finite values
for all of them.
"""
