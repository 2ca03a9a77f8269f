"""Data dictionaries of the tables of a group analysis."""

from __future__ import annotations

from qsmengine.stats.tables import Dictionary

CELL_COLUMNS: Dictionary = {
    "region": {"Description": "Structure"},
    "hemisphere": {
        "Description": "Side of the structure",
        "Levels": {
            "left": "left",
            "right": "right",
            "bilateral": "voxels of left and right together",
            "midline": "structure without sides",
        },
    },
    "map": {"Description": "Map of the statistic; n/a for volumes and voxel counts"},
    "statistic": {"Description": "Statistic over the voxels of the region"},
}
_UNIT = "unit of the outcome, see the dictionaries of the region tables"

ANCOVA_COLUMNS: Dictionary = {
    **CELL_COLUMNS,
    "group": {"Description": "Group of this row"},
    "reference": {"Description": "Reference group"},
    "n": {"Description": "Participants of the group in the model", "Units": "count"},
    "n_total": {"Description": "Participants in the model", "Units": "count"},
    "f": {
        "Description": "F statistic of the group effect (type II), the same in all rows of an outcome",
        "Units": "1",
    },
    "df_group": {"Description": "Degrees of freedom of the group effect", "Units": "count"},
    "df_residual": {"Description": "Residual degrees of freedom", "Units": "count"},
    "p": {"Description": "p value of the group effect", "Units": "1"},
    "p_corrected": {
        "Description": "p corrected over the outcomes, see design.json for the method",
        "Units": "1",
    },
    "partial_eta_squared": {"Description": "SS_group / (SS_group + SS_residual)", "Units": "1"},
    "adjusted_mean": {
        "Description": "Least-squares mean: covariates at their mean, categories with equal weights",
        "Units": _UNIT,
    },
    "adjusted_mean_se": {"Description": "Standard error of adjusted_mean", "Units": _UNIT},
    "adjusted_mean_ci_low": {"Description": "Lower end of the 95 % confidence interval", "Units": _UNIT},
    "adjusted_mean_ci_high": {"Description": "Upper end of the 95 % confidence interval", "Units": _UNIT},
    "difference": {
        "Description": "Adjusted mean minus that of the reference; n/a for the reference",
        "Units": _UNIT,
    },
    "difference_se": {"Description": "Standard error of difference", "Units": _UNIT},
    "difference_ci_low": {"Description": "Lower end of the 95 % confidence interval", "Units": _UNIT},
    "difference_ci_high": {"Description": "Upper end of the 95 % confidence interval", "Units": _UNIT},
    "t": {"Description": "difference / difference_se", "Units": "1"},
    "p_difference": {"Description": "Two-sided p value of difference", "Units": "1"},
    "p_difference_corrected": {
        "Description": "p_difference corrected over all outcomes and contrasts, see design.json for the method",
        "Units": "1",
    },
}

EXCLUDED_COLUMNS: Dictionary = {
    "participant_id": {"Description": "Excluded participant; n/a if an outcome was excluded for all"},
    **{
        name: {**entry, "Description": f"{entry['Description']}; n/a if the row applies to every outcome"}
        for name, entry in CELL_COLUMNS.items()
    },
    "reason": {"Description": "Reason for the exclusion"},
}
