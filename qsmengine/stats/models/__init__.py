"""Statistical models as plain functions of arrays and frames; statsmodels and scipy do the mathematics."""
