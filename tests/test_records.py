"""Records behave as the frozen dataclasses of the standard library."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any

import pytest

from qsmengine.records import record


@record
class Point:
    """Record with a default, a factory, and a field that does not count."""

    x: float
    y: float = 2.0
    tags: tuple[str, ...] = ()
    seen: list[str] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", float(self.x))


@record
class Place(Point):
    """Record that extends another."""

    name: str = ""


class Named(Point):
    """Subclass that is not decorated."""


@record
class Nothing:
    """Record without fields."""


@dataclass(frozen=True)
class Standard:
    """What the standard library makes of the same fields."""

    x: float
    y: float = 2.0
    tags: tuple[str, ...] = ()
    seen: list[str] = field(default_factory=list, compare=False, repr=False)


def test_values_are_given_by_place_or_name_and_defaults_are_filled_in():
    made = Place(1, tags=("a",), name="here")
    assert (made.x, made.y, made.tags, made.seen, made.name) == (1.0, 2.0, ("a",), [], "here")
    assert [entry.name for entry in fields(made)] == ["x", "y", "tags", "seen", "name"]
    assert replace(made, y=3.0) == Place(1, 3.0, ("a",), name="here")
    wrong: Any = Place
    with pytest.raises(TypeError, match="colour"):
        wrong(1, colour="red")
    with pytest.raises(TypeError, match="missing"):
        wrong()


@pytest.mark.parametrize("made", [Point(1), Place(1, name="b"), Named(1)])
def test_fields_cannot_be_assigned_or_deleted(made):
    for name in ("x", "seen"):
        with pytest.raises(FrozenInstanceError):
            setattr(made, name, 5.0)
        with pytest.raises(FrozenInstanceError):
            delattr(made, name)
    assert made.x == 1.0


def test_a_record_has_no_other_attribute_but_a_subclass_may():
    point: Any = Point(1)
    named: Any = Named(1)
    with pytest.raises(FrozenInstanceError):
        point.colour = "red"
    named.colour = "red"
    assert vars(named)["colour"] == "red"


def test_equal_values_of_one_class_are_equal_and_have_one_hash():
    assert Point(1, seen=["a"]) == Point(1, seen=["b"])
    assert hash(Point(1, seen=["a"])) == hash(Point(1, seen=["b"]))
    assert Point(1) != Point(2)
    assert Point(1) != Named(1)
    assert len({Nothing(), Nothing()}) == 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1, tags=["a"]))  # type: ignore[arg-type]


def test_text_shows_the_fields_as_the_standard_library_does():
    assert repr(Point(1)) == repr(Standard(1.0)).replace("Standard", "Point")
    assert repr(Nothing()) == "Nothing()"


def test_own_methods_are_kept():
    @record
    class Own:
        x: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own)

        def __hash__(self) -> int:
            return 7

        def __repr__(self) -> str:
            return "own"

    assert Own(1) == Own(2)
    assert repr(Own(1)) == "own"
    assert hash(Own(1)) == hash(Own(2)) == 7


def test_copies_and_pickles_are_equal():
    made = Point(1, tags=("a",))
    assert copy.copy(made) == copy.deepcopy(made) == made
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301
