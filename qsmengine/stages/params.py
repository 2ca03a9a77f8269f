"""Base of every method's parameters, and the types of those that have a length in their unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, TypeVar

from annotated_types import Le
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qsmengine.errors import UsageError

MAX_LENGTH = 300.0
"""No length of a method exceeds this [mm]: an adult's head is shorter."""


@dataclass(frozen=True)
class LengthPower:
    """Power of the length in a parameter's unit: 1 for mm and ppm mm, 2 for mm^2, and so on."""

    power: int


Length: TypeAlias = Annotated[float, LengthPower(1), Le(MAX_LENGTH)]
"""A distance [mm]."""
Mm: TypeAlias = Annotated[float, LengthPower(1)]
"""A number whose unit holds mm, such as [ppm mm]."""
Mm2: TypeAlias = Annotated[float, LengthPower(2)]
"""A number whose unit holds mm^2."""
Mm3: TypeAlias = Annotated[float, LengthPower(3)]
"""A number whose unit holds mm^3."""
Mm4: TypeAlias = Annotated[float, LengthPower(4)]
"""A number whose unit holds mm^4."""
Margin: TypeAlias = Annotated[
    float,
    LengthPower(1),
    Le(MAX_LENGTH),
    Field(ge=0, description="zeros after the mask's box on every axis [mm]"),
]
"""Parameter of a convolution with a kernel that reaches out of the mask."""

P = TypeVar("P", bound="Params")


class Params(BaseModel):
    """Frozen, validated parameters; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def length_power(self, name: str) -> int:
        """Power of the length in the unit of a parameter; 0 where the unit has none."""
        metadata = type(self).model_fields[name].metadata
        return next((entry.power for entry in metadata if isinstance(entry, LengthPower)), 0)

    def counted_in(self: P, length_scale: float | None) -> P:
        """Parameters for a grid whose unit of length is `length_scale` mm; None for the mm themselves.

        Defaults are those of an adult's head and stay as they are. Parameters set by name are in mm of the
        scanner: each is divided by the scale to the power of the length in its unit.

        Raises
        ------
        UsageError
            For a length that is out of bounds for an object of this size.
        """
        named = {name: self.length_power(name) for name in self.model_fields_set}
        changed = {name: power for name, power in named.items() if power and getattr(self, name) is not None}
        if length_scale is None or not changed:
            return self
        values: dict[str, Any] = {
            field.alias or name: _divided(getattr(self, name), length_scale ** changed.get(name, 0))
            for name, field in type(self).model_fields.items()
        }
        try:
            return type(self).model_validate(values)
        except ValidationError as error:
            raise UsageError(self._out_of_bounds(error, length_scale)) from None

    def _out_of_bounds(self, error: ValidationError, length_scale: float) -> str:
        first = error.errors()[0]
        names = {field.alias or name: name for name, field in type(self).model_fields.items()}
        key = str(first["loc"][0]) if first["loc"] else ""
        small = f"the object has {length_scale:.3g} times the size of an adult's"
        if key not in names:
            return f"{small}, where the lengths given do not go together with the defaults: {first['msg']}"
        return (
            f"{key}={getattr(self, names[key]):g}: {small}, where this counts as {first['input']:.4g}: "
            f"{first['msg']}; without it the length follows the object's size"
        )


def _divided(value: Any, factor: float) -> Any:
    """A number, or each number of a tuple, divided by `factor`; anything else as it is for the factor 1."""
    if factor == 1.0:
        return value
    return tuple(part / factor for part in value) if isinstance(value, tuple) else value / factor
