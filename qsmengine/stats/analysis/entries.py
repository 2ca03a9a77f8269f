"""Entries of the YAML files that describe a group analysis: frozen models, and errors that name the entry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from qsmengine.errors import UsageError

M = TypeVar("M", bound=BaseModel)


class Frozen(BaseModel):
    """Entries that take no unknown name; numbers are accepted where a name is expected."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


class Groups(Frozen):
    """The column of participants.tsv that holds the group, the reference group, the groups to compare.

    All groups of the column take part unless `levels` lists some.
    """

    column: str
    reference: str
    levels: tuple[str, ...] | None = None


def as_list(value: Any) -> Any:
    """Return a single value as a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(as_list)]
"""One name or a list of names."""


def validate(content: Any, model: type[M], path: Path, explain: Callable[[Any], str]) -> M:
    """Validate the content of a file; UsageError with every wrong entry, worded by `explain`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: " + "; ".join(explain(entry) for entry in error.errors())) from None
