"""Workers: in this process, in a local Dask cluster, or as Slurm jobs.

Every pool has the interface of ``base.Pool``. Only this sub-package imports Dask.
"""
