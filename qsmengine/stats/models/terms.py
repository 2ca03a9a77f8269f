"""Design matrices of linear models, coded by formulaic.

formulaic and not patsy: patsy's authors have ended its development and name formulaic as its successor, and
a model specification of formulaic states which columns belong to which term, also for interactions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qsmengine.errors import InputError
from qsmengine.stats.models.effects import Floats


@dataclass(frozen=True)
class TermMatrix:
    """A design matrix and the columns of its terms.

    Parameters
    ----------
    matrix
        (n, p), intercept first.
    names
        Name of every column but the intercept: "age", "sex[M]". Empty for centred coding.
    slices
        Term -> its columns in `matrix`; an interaction is named "first:second".
    """

    matrix: Floats
    names: tuple[str, ...]
    slices: Mapping[str, slice]

    @property
    def predictors(self) -> Floats:
        """The matrix without its intercept, (n, p - 1)."""
        return self.matrix[:, 1:]

    @property
    def full_rank(self) -> bool:
        """Whether no column is a linear combination of the others."""
        return bool(np.linalg.matrix_rank(self.matrix) == self.matrix.shape[1])

    @property
    def dependent(self) -> tuple[str, ...]:
        """The terms that the others, or their own columns, determine in part."""
        rank = np.linalg.matrix_rank
        alone = {name: np.delete(self.matrix, part, axis=1) for name, part in self.slices.items()}
        total = rank(self.matrix)
        return tuple(
            name for name, rest in alone.items() if total - rank(rest) < self.matrix.shape[1] - rest.shape[1]
        )


def code_terms(
    frame: pd.DataFrame, interactions: Sequence[tuple[str, str]] = (), *, centred: bool = False
) -> TermMatrix:
    """Code the columns of a table as terms of a linear model.

    Parameters
    ----------
    frame
        (n, c), complete: numbers are continuous, categories are factors. Names are never evaluated.
    interactions
        Pairs of columns.
    centred
        False: numbers as they are, an indicator for every level but the first. True: numbers standardised
        (SD with n in the denominator), contrasts that sum to zero over the levels, so that zero is the mean
        of a number and the unweighted mean of the levels.

    Raises
    ------
    InputError
        For a factor with one level (centred: any constant column), a column or interaction entered twice, or an
        interaction of an absent column.
    """
    # formulaic takes a quarter of a second to import.
    from formulaic import model_matrix

    columns: dict[str, Any] = {}
    terms: dict[str, str] = {}
    names: list[str] = []
    for i, name in enumerate(map(str, frame.columns)):
        values = frame.iloc[:, i]
        if name in terms:
            raise InputError(f"{name!r} is entered twice")
        factor = isinstance(values.dtype, pd.CategoricalDtype)
        if (factor or centred) and values.nunique() < 2:
            raise InputError(f"{name!r} is constant")
        if factor:
            columns[f"x{i}"] = values.cat.remove_unused_categories()
            levels = columns[f"x{i}"].cat.categories
            names += [f"{name}[{level}]" for level in levels[1:]]
            terms[name] = f"C(x{i}, contr.{'sum' if centred else 'treatment'})"
        else:
            columns[f"x{i}"] = values.astype("float64")
            names.append(name)
            terms[name] = f"scale(x{i}, ddof=0)" if centred else f"x{i}"
    for pair in interactions:
        absent = [name for name in pair if name not in terms]
        if absent:
            raise InputError(f"interaction of {absent[0]!r}, which is not in the model")
        if ":".join(pair) in terms:
            raise InputError(f"two terms are named {':'.join(pair)!r}")
        terms[":".join(pair)] = ":".join(terms[name] for name in pair)
    data = pd.DataFrame(columns, index=frame.index)
    coded = model_matrix(" + ".join(["1", *terms.values()]), data, context={}, na_action="raise")
    slices = [part for term, part in coded.model_spec.term_slices.items() if str(term) != "1"]
    return TermMatrix(
        np.asarray(coded, dtype=np.float64),
        () if centred else tuple(names),
        dict(zip(terms, slices, strict=True)),
    )
