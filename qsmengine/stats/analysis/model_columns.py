"""Data dictionaries of the result tables of an analysis."""

from __future__ import annotations

from qsmengine.stats.tables import Dictionary

_P = {"Description": "p value, two-sided", "Units": "1"}
_HEAD: Dictionary = {
    "model": {"Description": "Name of the model in the analysis file"},
    "kind": {"Description": "Kind of model"},
    "outcome": {"Description": "Dependent variable"},
}
_DF: Dictionary = {
    "df1": {"Description": "Degrees of freedom (of the effect)", "Units": "1"},
    "df2": {"Description": "Residual degrees of freedom", "Units": "count"},
}
_FAMILY: Dictionary = {
    "p_corrected": {"Description": "p corrected over the family; n/a if the row is in none", "Units": "1"},
    "correction": {"Description": "Method of the correction"},
    "family": {"Description": "Family of tests that are corrected together"},
}

TESTS: Dictionary = {
    **_HEAD,
    "term": {"Description": "Tested group, term of the model, or second variable"},
    "reference": {"Description": "Group of comparison"},
    "n": {"Description": "Participants in the test", "Units": "count"},
    "statistic_name": {"Description": "t, F, U, chi2"},
    "statistic": {"Description": "Value of the statistic", "Units": "1"},
    **_DF,
    "p": _P,
    **_FAMILY,
    "estimate": {"Description": "Difference (term minus reference) in the outcome's unit; solution for power"},
    "estimate_low": {"Description": "Lower end of its 95 % confidence interval"},
    "estimate_high": {"Description": "Upper end of its 95 % confidence interval"},
    "effect_name": {"Description": "hedges_g, rank_biserial, cramers_v, partial_eta_squared, partial_r"},
    "effect": {"Description": "Effect size", "Units": "1"},
    "effect_low": {"Description": "Lower end of its 95 % confidence interval", "Units": "1"},
    "effect_high": {"Description": "Upper end of its 95 % confidence interval", "Units": "1"},
    "note": {"Description": "Note on the interpretation"},
}
CHECKS: Dictionary = {
    **_HEAD,
    "group": {"Description": "Group, or block of a regression; n/a for all"},
    "check": {"Description": "Name of the check"},
    "n": {"Description": "Participants", "Units": "count"},
    "statistic": {"Description": "Value of the statistic", "Units": "1"},
    "p": _P,
    "note": {"Description": "Note on the interpretation"},
}
BLOCKS: Dictionary = {
    **_HEAD,
    "block": {"Description": "Number of blocks entered so far", "Units": "count"},
    "n": {"Description": "Participants in the model", "Units": "count"},
    "r2": {"Description": "R2", "Units": "1"},
    "r2_adjusted": {"Description": "R2 adjusted for the number of predictors", "Units": "1"},
    "f": {"Description": "F of the model", "Units": "1"},
    **_DF,
    "p": _P,
    "delta_r2": {"Description": "Increase of R2 by this block", "Units": "1"},
    "delta_f": {"Description": "F of the increase", "Units": "1"},
    "delta_df": {"Description": "Predictors of this block", "Units": "count"},
    "p_delta": {"Description": "p value of the increase", "Units": "1"},
    **_FAMILY,
}
COEFFICIENTS: Dictionary = {
    **_HEAD,
    "block": {"Description": "Number of blocks entered so far; n/a for mixed models", "Units": "count"},
    "predictor": {"Description": "Predictor; NAME[LEVEL] is relative to the first level"},
    "n": {"Description": "Rows in the model", "Units": "count"},
    "b": {"Description": "Coefficient: unit of the outcome per unit of the predictor"},
    "b_low": {"Description": "Lower end of its 95 % confidence interval"},
    "b_high": {"Description": "Upper end of its 95 % confidence interval"},
    "se": {"Description": "Standard error of b"},
    "beta": {"Description": "Standardised coefficient", "Units": "1"},
    "beta_low": {"Description": "Lower end of its 95 % confidence interval", "Units": "1"},
    "beta_high": {"Description": "Upper end of its 95 % confidence interval", "Units": "1"},
    "statistic_name": {"Description": "t, or z for mixed models"},
    "statistic": {"Description": "Value of the statistic", "Units": "1"},
    "p": _P,
    "vif": {"Description": "Variance inflation factor", "Units": "1"},
}
VARIANCES: Dictionary = {
    **_HEAD,
    "component": {"Description": "Random effect, or residual"},
    "sd": {"Description": "Standard deviation in the outcome's unit (per unit of a slope's variable)"},
    "n": {"Description": "Rows in the model", "Units": "count"},
    "n_units": {"Description": "Number of participants or sites in the model", "Units": "count"},
    "icc": {"Description": "Intraclass correlation; n/a with random slopes", "Units": "1"},
    "log_likelihood": {"Description": "Restricted log-likelihood", "Units": "1"},
    "converged": {"Description": "Whether the fit converged inside its bounds"},
}
MODEL_EXCLUDED: Dictionary = {
    "model": {"Description": "Model from which the row was excluded; combat: harmonisation; n/a: all"},
    "participant_id": {"Description": "Excluded participant"},
    "session_id": {"Description": "Excluded session"},
    "reason": {"Description": "Reason for the exclusion"},
}
