"""Classes of parameters whose pydantic models are built when a value is first checked.

Importing pydantic takes longer than reading a series. Defaults need no check, so a run in which methods keep
theirs does without. Modules declare these classes as pydantic's own to the type checker: names and behaviour
are those of pydantic, which checks every given value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import FrozenInstanceError
from types import new_class
from typing import Annotated, Any, ClassVar, TypeVar, get_type_hints

D = TypeVar("D", bound="Declaration")
MISSING: Any = object()
"""Default of a field that has to be given."""
FIELDS_SET = "model_fields_set"


class Field:
    """Arguments of :func:`pydantic.Field`, as the default of a field or as metadata of a type."""

    __is_annotated_types_grouped_metadata__ = True  # pydantic asks the metadata of a type for their parts

    def __init__(self, default: Any = MISSING, **options: Any) -> None:
        self.default, self.options = default, options

    @property
    def alias(self) -> str | None:
        """Name that users type, if it differs from the attribute's."""
        return self.options.get("alias")

    @property
    def required(self) -> bool:
        """Whether the field has to be given."""
        return self.default is MISSING and "default_factory" not in self.options

    def value(self) -> Any:
        """Return the default."""
        return self.options["default_factory"]() if self.default is MISSING else self.default

    def built(self) -> Any:
        """Return pydantic's description of the field."""
        import pydantic

        given = () if self.default is MISSING else (self.default,)
        return pydantic.Field(*given, **self.options)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.built().metadata)


class AfterValidator:
    """Metadata of a type: a function that returns the checked value or raises ValueError."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.function, handler(source))


class Check:
    """Method that pydantic calls with the checked values."""

    def __init__(self, mode: str, function: Callable[[Any], Any]) -> None:
        self.mode, self.function = mode, function


def model_validator(*, mode: str) -> Callable[[Callable[[Any], Any]], Check]:
    """Mark a method as a check of all values together."""
    return lambda function: Check(mode, function)


class _FromModel:
    """Attribute of the class that its pydantic model has."""

    def __set_name__(self, owner: type[Declaration], name: str) -> None:
        self.name = name

    def __get__(self, _instance: Declaration | None, owner: type[Declaration]) -> Any:
        return getattr(owner.model(), self.name)


class Declaration:
    """Frozen values, each with a default or required; an unknown name is an error."""

    own_fields: ClassVar[Mapping[str, Field]] = {}
    """Fields that the class itself declares."""
    all_fields: ClassVar[Mapping[str, Field]] = {}
    """Fields with those of the classes it is derived from, in pydantic's order."""
    own_checks: ClassVar[Mapping[str, Check]] = {}
    built: ClassVar[Any] = None
    """The pydantic model."""
    model_fields = _FromModel()
    model_fields_set: set[str]

    def __init_subclass__(cls) -> None:
        held = vars(cls)
        kinds = {name: kind for name, kind in held.get("__annotations__", {}).items() if not _of_class(kind)}
        defaults = {name: held.get(name, MISSING) for name in kinds}
        cls.own_fields = {n: d if isinstance(d, Field) else Field(d) for n, d in defaults.items()}
        cls.own_checks = {name: value for name, value in held.items() if isinstance(value, Check)}
        fields: dict[str, Field] = {}
        for base in reversed(cls.__mro__):
            fields |= vars(base).get("own_fields", {})
        cls.all_fields = fields
        for name in {*kinds, *cls.own_checks} & held.keys():
            delattr(cls, name)

    @classmethod
    def model(cls) -> Any:
        """Return the pydantic model, which is built at the first call."""
        if vars(cls).get("built") is None:
            cls.built = cls._build()
        return cls.built

    @classmethod
    def _build(cls) -> Any:
        from pydantic import BaseModel, ConfigDict
        from pydantic import model_validator as checked

        if cls is Declaration:
            rules = ConfigDict(frozen=True, extra="forbid")
            return new_class("Model", (BaseModel,), {}, lambda own: own.update(model_config=rules))
        namespace: dict[str, Any] = {name: field.built() for name, field in cls.own_fields.items()}
        namespace |= {n: checked(mode=c.mode)(c.function) for n, c in cls.own_checks.items()}  # type: ignore[call-overload]
        hints = get_type_hints(cls, include_extras=True) if cls.own_fields else {}
        namespace["__annotations__"] = {name: _built_kind(hints[name]) for name in cls.own_fields}
        namespace |= {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        bases = tuple(base.model() for base in cls.__bases__ if issubclass(base, Declaration))
        return new_class(cls.__name__, bases, {}, lambda own: own.update(namespace))

    def __init__(self, **values: Any) -> None:
        if values or any(field.required for field in self.all_fields.values()):
            self._take(self.model()(**values))
        else:
            vars(self).update({name: field.value() for name, field in self.all_fields.items()})
            vars(self)[FIELDS_SET] = set()

    def _take(self, checked: Any) -> None:
        vars(self).update({name: getattr(checked, name) for name in self.all_fields})
        vars(self)[FIELDS_SET] = set(checked.model_fields_set)

    @classmethod
    def model_validate(cls: type[D], values: Any) -> D:
        """Return the values checked; pydantic's ValidationError lists those that are not allowed."""
        made = cls.__new__(cls)
        made._take(cls.model().model_validate(values))  # noqa: SLF001
        return made

    @classmethod
    def model_construct(cls: type[D], _fields_set: Collection[str] | None = None, **values: Any) -> D:
        """Return the values unchecked, others by default."""
        made, known = cls.__new__(cls), set()
        for name, field in cls.all_fields.items():
            key = field.alias if field.alias in values else name
            known |= {name} & ({name} if key in values else set())
            vars(made)[name] = values[key] if key in values else field.value()
        vars(made)[FIELDS_SET] = known if _fields_set is None else set(_fields_set)
        return made

    def model_copy(self: D, *, update: Mapping[str, Any]) -> D:
        """Return a copy with other, unchecked values."""
        return self.model_construct(
            self.model_fields_set | update.keys(), **{**self.model_dump(nested=False), **update}
        )

    def model_dump(
        self,
        *,
        mode: str = "python",
        by_alias: bool = False,
        exclude: Collection[str] = (),
        nested: bool = True,
    ) -> dict[str, Any]:
        """Return the values by name; for mode "json" as JSON types. `nested`: whether those of values, too."""

        def shown(value: Any) -> Any:
            if isinstance(value, Declaration):
                return value.model_dump(mode=mode, by_alias=by_alias) if nested else value
            if isinstance(value, tuple) and nested:
                return [shown(part) for part in value] if mode == "json" else tuple(map(shown, value))
            return value

        kept = {name: field for name, field in self.all_fields.items() if name not in exclude}
        return {(by_alias and f.alias) or name: shown(getattr(self, name)) for name, f in kept.items()}

    @classmethod
    def model_json_schema(cls, *, by_alias: bool = True) -> dict[str, Any]:
        """Return the JSON schema of the values."""
        schema: dict[str, Any] = cls.model().model_json_schema(by_alias=by_alias)
        return schema

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        def check(value: Any, inner: Callable[[Any], Any]) -> Any:
            if isinstance(value, cls):
                return value
            made = cls.__new__(cls)
            made._take(inner(value))  # noqa: SLF001
            return made

        return core_schema.no_info_wrap_validator_function(check, handler(cls.model()))

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r} of {type(self).__name__}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r} of {type(self).__name__}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.model_dump(nested=False) == other.model_dump(nested=False)

    def __hash__(self) -> int:
        return hash((type(self), *self.model_dump(nested=False).values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.model_dump(nested=False).items())
        return f"{type(self).__name__}({shown})"


def required(kind: type[Any]) -> set[str]:
    """Return the fields of a declaration that have no default."""
    return {name for name, field in kind.all_fields.items() if field.required}


def aliases(kind: type[Any]) -> dict[str, str]:
    """Return the fields of a declaration: attribute -> name that users type."""
    return {name: field.alias or name for name, field in kind.all_fields.items()}


def _of_class(kind: Any) -> bool:
    return isinstance(kind, str) and kind.startswith("ClassVar")


def _built_kind(kind: Any) -> Any:
    """Return a type with pydantic's own descriptions among its metadata."""
    metadata = getattr(kind, "__metadata__", ())
    if not metadata:
        return kind
    parts = (part.built() if isinstance(part, Field) else part for part in metadata)
    return Annotated[(kind.__origin__, *parts)]
