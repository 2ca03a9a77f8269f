"""Base class of all parameters, and types for parameters whose unit contains a length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, TypeVar, get_args

from qsmengine.errors import UsageError
from qsmengine.records import record
from qsmengine.stages.deferred import aliases

if TYPE_CHECKING:
    from pydantic import BaseModel as Declaration
    from pydantic import ConfigDict, Field, ValidationError, model_validator
else:
    from qsmengine.stages.deferred import Declaration, Field, model_validator

__all__ = ["Field", "model_validator"]

SMALLEST, LARGEST = 1e-12, 1e12
"""Least and greatest size of a number other than 0."""
MAX_LENGTH = 300.0
"""Largest length of a method [mm]: more than an adult's head."""


@record
class LengthPower:
    """Power of mm in a parameter's unit: 1 for mm and ppm mm, 2 for mm^2, and so on."""

    power: int


Length: TypeAlias = Annotated[float, LengthPower(1), Field(le=MAX_LENGTH)]
"""A distance [mm]."""
Mm: TypeAlias = Annotated[float, LengthPower(1)]
"""A number whose unit contains mm, such as [ppm mm]."""
Mm2: TypeAlias = Annotated[float, LengthPower(2)]
"""A number whose unit contains mm^2."""
Mm3: TypeAlias = Annotated[float, LengthPower(3)]
"""A number whose unit contains mm^3."""
Mm4: TypeAlias = Annotated[float, LengthPower(4)]
"""A number whose unit contains mm^4."""
Margin: TypeAlias = Annotated[
    float,
    LengthPower(1),
    Field(le=MAX_LENGTH, ge=0, description="zero padding after the mask's bounding box on every axis [mm]"),
]
"""Padding for a convolution whose kernel extends beyond the mask."""

P = TypeVar("P", bound="Params")


class Params(Declaration):
    """Frozen, validated parameters; an unknown name is an error."""

    if TYPE_CHECKING:
        model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def _build(cls) -> Any:
        return _checked_model() if cls is Params else super()._build()  # type: ignore[misc]

    session_only: ClassVar[frozenset[str]] = frozenset()
    """Parameters by which a session prepares the inputs of the method; the method itself ignores them."""

    def length_power(self, name: str) -> int:
        """Return the power of mm in the unit of a parameter; 0 without mm."""
        metadata: list[Any] = type(self).model_fields[name].metadata
        return next((entry.power for entry in metadata if isinstance(entry, LengthPower)), 0)

    def counted_in(self: P, length_scale: float | None) -> P:
        """Return the parameters for a grid whose unit of length is `length_scale` mm; None stands for 1 mm.

        Defaults are meant for an adult's head and stay unchanged. Parameters set by name are in scanner mm:
        each is divided by the scale to the power of mm in its unit.

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
            key: _divided(getattr(self, name), length_scale ** changed.get(name, 0))
            for name, key in aliases(type(self)).items()
        }
        from pydantic import ValidationError

        try:
            return type(self).model_validate(values)
        except ValidationError as error:
            raise UsageError(self._out_of_bounds(error, length_scale)) from None

    def _out_of_bounds(self, error: ValidationError, length_scale: float) -> str:
        first = error.errors()[0]
        names = {key: name for name, key in aliases(type(self)).items()}
        key = str(first["loc"][0]) if first["loc"] else ""
        small = f"the object has {length_scale:.3g} times the size of an adult's"
        if key not in names:
            return f"{small}, and the given lengths contradict the defaults at this size: {first['msg']}"
        return (
            f"{key}={getattr(self, names[key]):g}: {small}, so this is equivalent to {first['input']:.4g}: "
            f"{first['msg']}; unset, the length follows the object's size"
        )


def _divided(value: Any, factor: float) -> Any:
    """Divide a number, or each number of a tuple, by `factor`; return anything else unchanged for factor 1."""
    if factor == 1.0:
        return value
    return tuple(part / factor for part in value) if isinstance(value, tuple) else value / factor


def _checked_model() -> Any:
    """Return the pydantic model that the models of all parameters are derived from."""
    from pydantic import BaseModel, ConfigDict, field_validator
    from pydantic import model_validator as checked

    class Checked(BaseModel):
        # Validators are built at first use: a configuration builds its own for the methods that it names.
        model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

        @checked(mode="before")
        @classmethod
        def _no_truth_values(cls, values: Any) -> Any:
            """Refuse true and false where a number is meant."""
            kinds = {field.alias or name: field.annotation for name, field in cls.model_fields.items()}
            for key, value in values.items() if isinstance(values, dict) else ():
                if isinstance(value, bool) and key in kinds and bool not in (kinds[key], *get_args(kinds[key])):
                    raise ValueError(f"{key}: {str(value).lower()} is not a value of this parameter")
            return values

        @field_validator("*")
        @classmethod
        def _of_usable_size(cls, value: Any) -> Any:
            """Refuse numbers whose squares or ratios exceed single precision."""
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, float) and number and not SMALLEST <= abs(number) <= LARGEST:
                    raise ValueError(f"size should be 0 or between {SMALLEST:g} and {LARGEST:g}")
            return value

    return Checked
