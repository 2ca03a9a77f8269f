"""The description of a stage: its methods, when it runs, and what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Presence: TypeAlias = Literal["required", "optional", "extra", "internal"]
"""Required; switched off by ``none``; run only where a method is named; or without a section to configure."""


@dataclass(frozen=True)
class Stage:
    """A stage of a reconstruction, configured by one section.

    Parameters
    ----------
    name
        As users write it ("phase-offset"); its section of the configuration has underscores instead of dashes.
    purpose
        One sentence for documents.
    modules
        Modules whose METHODS belong to it; a leading dot is short for ``qsmengine.stages.``.
    presence
        When it runs.
    default
        Method for configurations that do not mention the section; "" where they must.
    least_volumes
        Echoes or volumes without which it is left out.
    replaces, excludes
        Sections that it takes the place of where a method is named, and those that cannot run beside it. A
        configuration that mentions one of them drops a preset's method of this stage.
    """

    name: str
    purpose: str
    modules: tuple[str, ...]
    presence: Presence = "required"
    default: str = ""
    least_volumes: int = 1
    replaces: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        """Section of the configuration."""
        return self.name.replace("-", "_")
