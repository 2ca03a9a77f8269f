"""Group analyses: from a YAML file and a derivatives folder to tables of results.

``run_design`` fits one analysis of covariance to many outcomes, ``run_models`` the models of an analysis file;
both share the entries, the selection of rows and the functions in ``models``. The command line and the studies
import it. Columns of the written tables are described in ``group_columns`` and ``model_columns``.
"""
