"""Statistical models as plain functions of arrays and frames.

statsmodels and scipy do the mathematics and formulaic codes the designs; here live the choice of method, the
checks of the data and the effect sizes. A model reads no file and writes no table, and imports nothing else of
stats. Every package above may call it.
"""
