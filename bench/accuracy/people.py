"""Heads by role: development heads, on which chains are chosen, and held-out heads, which the page reports.

A held-out head shares neither its seed nor an undeformed label map with a development head: it is the third
subject, or a label map deformed with another seed. :func:`require` enforces the roles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qsmengine.errors import UsageError


@dataclass(frozen=True)
class Person:
    """One head.

    Parameters
    ----------
    labels
        Bundled label map: 1, 2 or 3.
    seed
        Of texture, features, coil, noise, and deformation.
    deformation
        Of the label map, standard deviation [mm].
    """

    labels: int
    seed: int
    deformation: float = 0.0


DEVELOPMENT = {1: Person(1, 1), 2: Person(2, 2), 4: Person(1, 104, 3.0)}
HELD_OUT = {3: Person(3, 203), 11: Person(1, 211, 3.0), 12: Person(2, 212, 3.0), 13: Person(3, 213, 3.0)}
ROLES = {"development": DEVELOPMENT, "held-out": HELD_OUT}
PEOPLE = DEVELOPMENT | HELD_OUT
"""Number of a head -> who it is."""


def require(role: str, numbers: Iterable[int], what: str) -> None:
    """Raise UsageError unless all heads have the role "development" or "held-out"; `what` needs them."""
    wrong = sorted(set(numbers) - set(ROLES[role]))
    if wrong:
        raise UsageError(f"{what}: {role} heads are needed; {', '.join(map(str, wrong))} given")
