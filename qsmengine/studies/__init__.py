"""Reproductions of published studies: virtual cohort, statistics, comparison with the published tables.

Each study is one package with the published numbers, the virtual cohort and the models; ``cells`` compares
cells with the published ones. Only the command line imports it; a study may call every other package.
"""
